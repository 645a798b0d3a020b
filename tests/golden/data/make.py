"""Makes the Parquet files of this folder, written by another library than moa's: pip install pyarrow==26.0.1; python make.py

The rows are made up here; the layout is that of the papers' files (list of {content, role}, reward_model, extra_info).
"""
import datetime
import decimal
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq

HERE = pathlib.Path(__file__).parent
MESSAGE = pa.struct([("content", pa.string()), ("role", pa.string())])
REVERSED = pa.struct([("role", pa.string()), ("content", pa.string())])
REWARD = pa.struct([("ground_truth", pa.string()), ("style", pa.string())])
INFO = pa.struct([("index", pa.int64()), ("split", pa.string())])


def write(name, columns, **options):
    pq.write_table(pa.table(columns), HERE / name, **options)


def prompts(texts, message=MESSAGE):
    return pa.array([[{"role": "user", "content": text}] for text in texts], pa.list_(message))


def rewards(truths):
    return pa.array([{"ground_truth": truth, "style": "rule"} for truth in truths], REWARD)


papers = {
    "solution": ["one and one", "a half", "none"],
    "level": [1, 5, 3],
    "data_source": ["made/up"] * 3,
    "prompt": prompts(["What is $1+1$?", "What is ½ of 1? é", "Third?"]),
    "ability": ["math"] * 3,
    "reward_model": rewards(["2", "\\frac{1}{2}", "x"]),
    "extra_info": pa.array([{"index": i, "split": "train"} for i in range(3)], INFO),
}
write("papers.parquet", papers, compression="snappy", row_group_size=2)
write("gzip.parquet", papers, compression="gzip")
write("lz4.parquet", papers, compression="lz4")
write("no_truth.parquet", papers | {"reward_model": rewards(["2", None, "x"])}, compression="zstd")
write("no_rows.parquet", {name: pa.array(column)[:0] for name, column in papers.items()}, compression="snappy")
write(
    "other_types.parquet",
    {
        "question": ["plain text", "more text"],
        "ground_truth": [7, 8],
        "chat": prompts(["a", "b"], REVERSED),
        "score": [0.5, None],
        "tags": [["x", "y"], []],
        "when": [datetime.datetime(2024, 5, 6, 7, 8, 9)] * 2,
        "price": [decimal.Decimal("1.25")] * 2,
        "raw": pa.array([b"text", b"more"]),
        "flag": [True, False],
    },
    compression="snappy",
)
write("bytes.parquet", {"prompt": pa.array([b"text", b"\xff\xfe"])}, compression="snappy")
# columns that nobody reads, under names that the layout uses for other things
write(
    "odd_columns.parquet",
    {
        "prompt": ["a", "b"],
        "answer": ["7", "8"],
        "picture": pa.array([b"\x89PNG\xff", None]),
        "response": [1, 2],
        "data_source": [[1], []],
        "reward_model": ["rule", "rule"],
    },
    compression="snappy",
)
