//! Reading and writing data files: the papers' layout as another library wrote it, JSON lines, and everything that
//! can be wrong with a file. The Parquet files are made by golden/data/make.py.

use std::fs;
use std::path::{Path, PathBuf};

use moa_core::data::{
    DataError, Encoded, Keys, Message, PromptText, Row, Summary, inspect, parquet_bytes, read_parquet_bytes, read_rows,
    write_jsonl, write_parquet,
};
use moa_core::error::Report;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/golden/data")
        .join(name)
}

fn read(name: &str) -> Vec<Row> {
    read_rows(&golden(name), &Keys::default()).expect("a good file")
}

fn keys(prompt_key: &str) -> Keys {
    Keys {
        prompt_key: prompt_key.to_owned(),
        ..Keys::default()
    }
}

fn strict() -> Keys {
    Keys {
        require_ground_truth: true,
        ..Keys::default()
    }
}

fn user(content: &str) -> PromptText {
    PromptText::Messages(vec![Message {
        role: "user".to_owned(),
        content: content.to_owned(),
    }])
}

/// A file with `bytes` in a folder that lives as long as the test.
fn file(folder: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).expect("a temporary file");
    path
}

/// Message and hint, the folder's path cut away.
fn refused(path: &Path, keys: &Keys) -> (String, String) {
    let error = read_rows(path, keys).expect_err("a bad file");
    let folder = format!("{}/", path.parent().expect("a folder").display());
    let message = error.to_string().replace(&folder, "");
    assert!(!message.contains('\n'), "more than a line: {message}");
    (message, error.hint().unwrap_or_default())
}

#[test]
fn the_papers_layout_is_read_in_full() {
    let rows = read_rows(&golden("papers.parquet"), &strict()).expect("a good file");
    assert_eq!(rows.len(), 3); // in two row groups
    assert_eq!(
        rows[1],
        Row {
            index: 1,
            prompt: user("What is ½ of 1? é"),
            ground_truth: "\\frac{1}{2}".to_owned(),
            data_source: "made/up".to_owned(),
            extra: r#"{"solution":"a half","level":5,"ability":"math","reward_model":{"style":"rule"},"extra_info":{"index":1,"split":"train"}}"#.to_owned(),
            response: None,
            truth_column: None,
        }
    );
    let bytes = fs::read(golden("papers.parquet")).expect("the file");
    assert_eq!(
        read_parquet_bytes(Path::new("embedded"), &bytes, &strict()).expect("the same"),
        rows
    );
}

#[test]
fn rows_survive_both_formats_and_the_bytes_repeat() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut rows = read("papers.parquet");
    rows[0].response = Some("one".to_owned()); // and none in the other rows
    rows[2].extra =
        r#"{"solution":"none","level":2.5,"extra_info":{"split":"train"},"tags":[1,"a"],"new":true}"#.to_owned();
    let (parquet, lines) = (
        folder.path().join("deep/er/rows.parquet"),
        folder.path().join("rows.jsonl"),
    );
    write_parquet(&parquet, &rows).expect("written");
    write_jsonl(&lines, &rows).expect("written");
    assert_eq!(read_rows(&lines, &Keys::default()).expect("read"), rows);
    assert_eq!(
        parquet_bytes(&parquet, &rows).expect("encoded"),
        fs::read(&parquet).expect("the file")
    );

    let back = read_rows(&parquet, &Keys::default()).expect("read");
    let without_extra = |rows: &[Row]| {
        rows.iter()
            .map(|r| Row {
                extra: String::new(),
                ..r.clone()
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(without_extra(&back), without_extra(&rows));
    // A column has one type for all rows: integers beside 2.5 are floats, a list is JSON text, a gap is null.
    assert_eq!(
        back[2].extra,
        r#"{"solution":"none","level":2.5,"ability":null,"reward_model":{"style":null},"extra_info":{"index":null,"split":"train"},"tags":"[1,\"a\"]","new":true}"#
    );
    assert!(
        back[1].extra.contains(r#""level":5.0"#) && back[1].extra.contains(r#""tags":null"#),
        "{}",
        back[1].extra
    );
}

#[test]
fn other_column_types_become_json() {
    let rows = read_rows(&golden("other_types.parquet"), &keys("question")).expect("a good file");
    assert_eq!(
        (&rows[0].prompt, rows[0].ground_truth.as_str()),
        (&PromptText::Text("plain text".to_owned()), "7")
    );
    assert_eq!(
        rows[0].extra,
        r#"{"chat":[{"role":"user","content":"a"}],"score":0.5,"tags":["x","y"],"when":"2024-05-06 07:08:09.000000 +00:00","price":"1.25","raw":"text","flag":true}"#
    );
    assert!(rows[1].extra.contains(r#""score":null,"tags":[]"#), "{}", rows[1].extra);
    let rows = read_rows(&golden("other_types.parquet"), &keys("chat")).expect("role before content");
    assert_eq!(rows[1].prompt, user("b"));
}

#[test]
fn json_lines_take_text_messages_and_ground_truth_at_the_top() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = "\u{feff}{\"prompt\":\"a\",\"ground_truth\":12,\"response\":\"b\"}\r\n\n{\"prompt\":[{\"content\":\"c\",\"role\":\"user\"}],\"reward_model\":{\"ground_truth\":\"d\"},\"id\":3}";
    let path = file(&folder, "rows.jsonl", text.as_bytes());
    let rows = read_rows(&path, &strict()).expect("good rows");
    assert_eq!(
        (
            rows[0].ground_truth.as_str(),
            rows[0].response.as_deref(),
            rows[0].extra.as_str()
        ),
        ("12", Some("b"), "{}")
    );
    assert_eq!(
        (&rows[1].prompt, rows[1].ground_truth.as_str(), rows[1].extra.as_str()),
        (&user("c"), "d", "{\"id\":3}")
    );
    let needs_response = Keys {
        require_response: true,
        ..Keys::default()
    };
    let (message, hint) = refused(&path, &needs_response);
    assert_eq!(message, "rows.jsonl: line 3: no response (looked for `response`)");
    assert!(hint.contains("supervised"));
}

#[test]
fn bad_parquet_files_are_named_with_what_is_wrong() {
    let (message, hint) = refused(&golden("lz4.parquet"), &Keys::default());
    assert_eq!(
        message,
        "lz4.parquet: column `solution` is compressed with LZ4_RAW, expected zstd, snappy, gzip or no compression"
    );
    assert!(hint.contains("zstd"));
    let (message, _) = refused(&golden("no_truth.parquet"), &strict());
    assert_eq!(
        message,
        "no_truth.parquet: row 1 (from 0): no ground truth (looked for `reward_model.ground_truth`, `ground_truth`, `answer` and `solution`)"
    );
    assert_eq!(read("no_truth.parquet")[1].ground_truth, "");
    assert_eq!(
        refused(&golden("no_rows.parquet"), &Keys::default()).0,
        "no_rows.parquet: the file has no rows"
    );
    let (message, hint) = refused(&golden("papers.parquet"), &keys("promt"));
    assert_eq!(
        message,
        "papers.parquet: row 0 (from 0): no column `promt`; found `solution`, `level`, `data_source`, `prompt`, `ability`, `reward_model`, `extra_info`"
    );
    assert_eq!(hint, "did you mean data.prompt_key = \"prompt\"?");
    let (message, _) = refused(&golden("papers.parquet"), &keys("level"));
    assert_eq!(
        message,
        "papers.parquet: row 0 (from 0): column `level` is int, expected text or a list of {role, content}"
    );
    let (message, _) = refused(&golden("bytes.parquet"), &Keys::default());
    assert_eq!(
        message,
        "bytes.parquet: row 1 (from 0): column `prompt` is bytes that are not UTF-8, expected text"
    );

    let folder = tempfile::tempdir().expect("a folder");
    let whole = fs::read(golden("papers.parquet")).expect("the file");
    let cut = file(&folder, "cut.parquet", &whole[..whole.len() - 10]);
    assert_eq!(
        refused(&cut, &Keys::default()).0,
        format!(
            "cut.parquet: this Parquet file is cut short: its {} bytes do not end with \"PAR1\"",
            whole.len() - 10
        )
    );
    let tiny = file(&folder, "tiny.parquet", b"PAR1PAR1");
    assert!(refused(&tiny, &Keys::default()).0.contains("cut short"));
    let lines = file(&folder, "lines.parquet", b"{\"prompt\":\"a\"}\n");
    let (message, hint) = refused(&lines, &Keys::default());
    assert_eq!(
        message,
        "lines.parquet: not a Parquet file: it starts with \"{\\\"pr\", expected \"PAR1\""
    );
    assert!(hint.contains(".jsonl"));
    let pointer = file(
        &folder,
        "pointer.parquet",
        b"version https://git-lfs.github.com/spec/v1\n",
    );
    assert!(refused(&pointer, &Keys::default()).1.contains("git lfs pull"));
    assert_eq!(
        refused(&file(&folder, "zero.parquet", b""), &Keys::default()).0,
        "zero.parquet: the file has no rows"
    );
    assert!(
        refused(&file(&folder, "rows.csv", b"prompt\n"), &Keys::default())
            .0
            .contains("no rows")
    );
    assert!(
        refused(&folder.path().join("absent.parquet"), &Keys::default())
            .0
            .contains("cannot be read")
    );
}

#[test]
fn damaged_parquet_files_never_panic() {
    let whole = fs::read(golden("papers.parquet")).expect("the file");
    let mut refused = 0;
    // Each byte with one bit turned over; the crate's decoder panics on some of these.
    for at in 4..whole.len() - 4 {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        if let Err(error) = read_parquet_bytes(Path::new("damaged.parquet"), &bytes, &Keys::default()) {
            refused += 1;
            let message = error.to_string();
            assert!(
                message.starts_with("damaged.parquet: ") && !message.contains('\n'),
                "{message}"
            );
            assert!(message.len() < 400 && error.hint().is_some(), "{message}");
        }
    }
    assert!(refused > 500, "only {refused} damages were seen");
}

#[test]
fn bad_lines_are_named_with_their_number() {
    let folder = tempfile::tempdir().expect("a folder");
    let good = "{\"prompt\":\"a\"}\n";
    let cases = [
        (
            "\n{\"prompt\":",
            "line 3: not a JSON object: EOF while parsing a value at character 10",
        ),
        ("[1]", "line 2: not a JSON object: found an array"),
        ("3", "line 2: not a JSON object: found a single value"),
        ("{\"prompts\":\"a\"}", "line 2: no column `prompt`; found `prompts`"),
        ("{}", "line 2: no column `prompt`; found no columns"),
        (
            "{\"prompt\":null}",
            "line 2: column `prompt` is null, expected text or a list of {role, content}",
        ),
        (
            "{\"prompt\":\"\"}",
            "line 2: column `prompt` is empty text, expected text or a list of {role, content}",
        ),
        (
            "{\"prompt\":[]}",
            "line 2: column `prompt` is an empty list, expected text or a list of {role, content}",
        ),
        (
            "{\"prompt\":[1]}",
            "line 2: column `prompt[0]` is int, expected {role, content}",
        ),
        (
            "{\"prompt\":[{\"role\":\"user\"}]}",
            "line 2: column `prompt[0].content` is missing, expected text",
        ),
        (
            "{\"prompt\":[{\"role\":1,\"content\":\"\"}]}",
            "line 2: column `prompt[0].role` is int, expected text",
        ),
    ];
    for (line, expected) in cases {
        let path = file(&folder, "rows.jsonl", format!("{good}{line}\n").as_bytes());
        assert_eq!(refused(&path, &Keys::default()).0, format!("rows.jsonl: {expected}"));
    }
    let path = file(&folder, "rows.jsonl", b"{\"prompt\":\"\xff\"}\n");
    assert!(
        refused(&path, &Keys::default())
            .0
            .starts_with("rows.jsonl: line 1: not a JSON object: invalid unicode")
    );
    assert_eq!(
        refused(&file(&folder, "rows.jsonl", b" \n\n"), &Keys::default()).0,
        "rows.jsonl: the file has no rows"
    );
}

#[test]
fn text_and_messages_do_not_go_into_one_parquet_column() {
    let mut rows = read("papers.parquet");
    rows[2].prompt = PromptText::Text("plain".to_owned());
    let error = parquet_bytes(Path::new("out.parquet"), &rows).expect_err("mixed prompts");
    assert!(matches!(error, DataError::MixedPrompts { row: 2, .. }), "{error}");
    rows.iter_mut()
        .for_each(|row| row.prompt = PromptText::Text(row.index.to_string()));
    let bytes = parquet_bytes(Path::new("out.parquet"), &rows).expect("all are text");
    let back = read_parquet_bytes(Path::new("out.parquet"), &bytes, &Keys::default()).expect("read");
    assert_eq!(back[2].prompt, PromptText::Text("2".to_owned()));
    assert!(matches!(
        parquet_bytes(Path::new("out.parquet"), &[]),
        Err(DataError::Empty { .. })
    ));
}

#[test]
fn inspect_shows_columns_lengths_and_a_prompt() {
    let one = |(i, prompt): (usize, PromptText)| {
        let PromptText::Messages(messages) = prompt else {
            return Err((i, "messages expected".into()));
        };
        Ok(Encoded {
            text: format!("<{}>", messages[0].content),
            tokens: vec![0; messages[0].content.split(' ').count()],
        })
    };
    let mut encode = |prompts: Vec<PromptText>| prompts.into_iter().enumerate().map(one).collect();
    let inspection = inspect(&golden("papers.parquet"), &Keys::default(), Some(&mut encode)).expect("a good file");
    let text = inspection.to_string();
    let (_, table) = text.split_once('\n').expect("several lines");
    let expected = "
column        missing  type
solution            0  text
level               0  int
data_source         0  text
prompt              0  list<struct<content: text, role: text>>
ability             0  text
reward_model        0  struct<ground_truth: text, style: text>
extra_info          0  struct<index: int, split: text>

length                  min   median       mean      p95      max
prompt, characters        6       14       12.3       17       17
prompt, tokens            1        3        3.3        6        6

rows with ground truth: 3 of 3
data source made/up: 3 rows

first prompt:
<What is $1+1$?>";
    assert_eq!(table, expected);
    let json = serde_json::to_value(&inspection).expect("plain data");
    assert_eq!((&json["rows"], &json["columns"][1]["type"]), (&3.into(), &"int".into()));
    assert_eq!(
        inspect(&golden("no_truth.parquet"), &Keys::default(), None)
            .expect("read")
            .with_ground_truth,
        2
    );
}

#[test]
fn summaries_use_the_nearest_rank() {
    let summary = Summary::of((1..=100).rev().collect()).expect("some lengths");
    assert_eq!(
        (summary.min, summary.median, summary.p95, summary.max),
        (1, 50, 95, 100)
    );
    assert!((summary.mean - 50.5).abs() < 1e-12);
    let short = Summary::of(vec![3, 1, 2]).expect("some lengths");
    assert_eq!((short.median, short.p95), (2, 3));
    assert_eq!(Summary::of(vec![]), None);
}

#[test]
fn columns_that_nobody_reads_do_not_stop_the_load() {
    let rows = read_rows(&golden("odd_columns.parquet"), &strict()).expect("only prompt and answer are read");
    assert_eq!(
        (rows[0].ground_truth.as_str(), rows[0].truth_column),
        ("7", Some("answer"))
    );
    assert_eq!(
        (
            rows[0].extra.as_str(),
            rows[0].data_source.as_str(),
            rows[0].response.as_deref()
        ),
        (
            r#"{"answer":"7","response":1,"data_source":[1],"reward_model":"rule"}"#,
            "",
            None
        )
    );
    assert!(rows[1].extra.contains(r#""picture":null"#), "{}", rows[1].extra);
    let needed = Keys {
        require_response: true,
        ..Keys::default()
    };
    let (message, _) = refused(&golden("odd_columns.parquet"), &needed);
    assert_eq!(
        message,
        "odd_columns.parquet: row 0 (from 0): column `response` is int, expected text"
    );
    let (message, _) = refused(&golden("odd_columns.parquet"), &keys("picture"));
    assert!(
        message.contains("column `picture` is bytes that are not UTF-8"),
        "{message}"
    );
    let seen = inspect(&golden("odd_columns.parquet"), &Keys::default(), None).expect("inspected");
    assert!(
        seen.columns
            .iter()
            .any(|c| (c.name.as_str(), c.kind.as_str()) == ("picture", "binary"))
    );
    assert_eq!(read("gzip.parquet"), read("papers.parquet"));
}

#[test]
fn the_ground_truth_is_where_it_is_said_to_be() {
    let folder = tempfile::tempdir().expect("a folder");
    let line = r#"{"prompt":"a","solution":"long","answer":3,"a.b":"dotted","info":{"truth":[1,2]}}"#;
    let path = file(&folder, "rows.jsonl", line.as_bytes());
    assert_eq!(read_rows(&path, &strict()).expect("answer")[0].ground_truth, "3");
    for (key, truth) in [("solution", "long"), ("a.b", "dotted"), ("info.truth", "[1,2]")] {
        let keys = Keys {
            ground_truth_key: Some(key.to_owned()),
            ..strict()
        };
        assert_eq!(read_rows(&path, &keys).expect(key)[0].ground_truth, truth, "{key}");
    }
    let keys = Keys {
        ground_truth_key: Some("info.other".to_owned()),
        ..strict()
    };
    let (message, _) = refused(&path, &keys);
    assert_eq!(
        message,
        "rows.jsonl: line 1: no ground truth (looked for data.ground_truth_key = \"info.other\")"
    );
}

#[test]
fn messages_have_parts_nulls_and_other_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines = r#"{"prompt":[{"role":"user","content":[{"type":"text","text":"a"},"b"]},{"role":"assistant","content":null}]}
{"prompt":[{"from":"human","value":"c"},{"from":"gpt","value":"d"}],"x":NaN,"y":[-Infinity,"NaN \" NaN"]}"#;
    let rows = read_rows(&file(&folder, "rows.jsonl", lines.as_bytes()), &Keys::default()).expect("good rows");
    let pairs = |row: &Row| match &row.prompt {
        PromptText::Messages(list) => list
            .iter()
            .map(|m| format!("{}: {}", m.role, m.content))
            .collect::<Vec<_>>(),
        PromptText::Text(text) => vec![text.clone()],
    };
    assert_eq!(pairs(&rows[0]), ["user: ab", "assistant: "]);
    assert_eq!(pairs(&rows[1]), ["user: c", "assistant: d"]);
    assert_eq!(rows[1].extra, r#"{"x":null,"y":[null,"NaN \" NaN"]}"#);
    let line = r#"{"prompt":[{"role":"user","content":[{"type":"image"}]}]}"#;
    let (message, _) = refused(&file(&folder, "image.jsonl", line.as_bytes()), &Keys::default());
    assert_eq!(
        message,
        "image.jsonl: line 1: column `prompt[0].content[0]` is of type \"image\", expected a part of type \"text\""
    );
    let empty = Keys {
        allow_empty_prompt: true,
        ..Keys::default()
    };
    let path = file(&folder, "empty.jsonl", br#"{"prompt":""}"#);
    assert_eq!(
        read_rows(&path, &empty).expect("for rewards")[0].prompt,
        PromptText::Text(String::new())
    );
}

#[test]
fn arrays_csv_gzip_and_folders_are_read() {
    use std::io::Write;
    let gzip = |bytes: &[u8]| {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        writer.write_all(bytes).expect("in memory");
        writer.finish().expect("in memory")
    };
    let folder = tempfile::tempdir().expect("a folder");
    let lines = b"{\"prompt\":\"a\",\"answer\":\"1\"}\n{\"prompt\":\"b, \\\"c\\\"\\nd\",\"answer\":\"2\"}\n";
    let expected = read_rows(&file(&folder, "rows.jsonl", lines), &strict()).expect("lines");
    let array = br#"[
 {"prompt": "a", "answer": "1"},
 {"prompt": "b, \"c\"\nd", "answer": "2"}
]
"#;
    let csv = b"prompt,answer\r\na,1\r\n\"b, \"\"c\"\"\nd\",\"2\"\r\n";
    for (name, bytes) in [
        ("rows.json", array.to_vec()),
        ("rows.csv", csv.to_vec()),
        ("rows.jsonl.gz", gzip(lines)),
        ("rows.json.gz", gzip(array)),
        ("rows.csv.gz", gzip(csv)),
    ] {
        assert_eq!(
            read_rows(&file(&folder, name, &bytes), &strict()).expect(name),
            expected,
            "{name}"
        );
    }
    let (message, _) = refused(&file(&folder, "cells.csv", b"prompt,answer\na,1\nb\n"), &strict());
    assert_eq!(
        message,
        "cells.csv: line 3: found 1 cells, expected 2 as in the first line"
    );
    let (message, _) = refused(
        &file(&folder, "array.json", b"[{\"prompt\":\"a\"},\n 3]"),
        &Keys::default(),
    );
    assert!(message.contains("element 1 of the array"), "{message}");
    let cut = gzip(lines);
    let (message, _) = refused(&file(&folder, "cut.jsonl.gz", &cut[..cut.len() - 9]), &Keys::default());
    assert!(message.contains("cannot be read"), "{message}");

    let shards = folder.path().join("set/data");
    fs::create_dir_all(&shards).expect("a folder");
    for (name, line) in [("train-00001-of-00002.jsonl", "b"), ("train-00000-of-00002.jsonl", "a")] {
        fs::write(shards.join(name), format!("{{\"prompt\":\"{line}\"}}\n")).expect("written");
    }
    let rows = read_rows(&folder.path().join("set"), &Keys::default()).expect("two shards");
    assert_eq!((rows[0].index, &rows[1].prompt), (0, &PromptText::Text("b".to_owned())));
    assert_eq!(rows[1].index, 1);
    fs::write(shards.join("test-00000-of-00001.jsonl"), "{\"prompt\":\"c\"}\n").expect("written");
    let (message, hint) = refused(&folder.path().join("set"), &Keys::default());
    assert!(
        message.contains("\"test\" and of \"train\"") && hint.contains("one file"),
        "{message}"
    );
    if cfg!(target_os = "linux") {
        let (message, _) = refused(Path::new("/dev/zero"), &Keys::default());
        assert!(message.contains("a device"), "{message}");
    }
}
