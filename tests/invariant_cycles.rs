//! No files of core or of the SDK use each other in a circle, except a module and its own error or test file; and no
//! source file is left out of its crate.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::support::modules::{Graph, Source, cycles, told};
use crate::support::root;

/// The files of the crate whose sources are in `folder`, from `lib.rs` on. Returns also what was read.
fn crate_of(folder: &Path) -> (Graph, BTreeSet<String>) {
    let (mut graph, mut read) = (Graph::default(), BTreeSet::new());
    let mut open: Vec<(Vec<String>, String, bool)> = vec![(Vec::new(), "lib.rs".into(), false)];
    while let Some((module, file, for_tests)) = open.pop() {
        let text = fs::read_to_string(folder.join(&file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        let source = Source::parse(&module, &text);
        let children = source.children.iter().map(|name| (name, for_tests));
        for (name, for_tests) in children.chain(source.test_children.iter().map(|name| (name, true))) {
            let beside = [module.join("/"), name.clone()].join("/");
            let beside = beside.trim_start_matches('/');
            let file = [format!("{beside}.rs"), format!("{beside}/mod.rs")]
                .into_iter()
                .find(|file| folder.join(file).is_file())
                .unwrap_or_else(|| panic!("{file}: no file for `mod {name};`"));
            let module = module.iter().chain([name]).cloned().collect();
            open.push((module, file, for_tests));
        }
        read.insert(file.clone());
        if !for_tests {
            graph.add(module, &file, source);
        }
    }
    (graph, read)
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let mut found = String::new();
    for folder in ["core/src", "sdk/src", "sdk/answer/src"] {
        let edges = crate_of(&root().join(folder)).0.edges();
        for files in cycles(&edges) {
            let told = told(&edges, &files);
            found += &format!("{folder}: these files use each other in a circle:\n{told}");
        }
    }
    assert!(found.is_empty(), "{found}");
}

/// The rooms of core stand in lib.rs in the order in which data flows; `error` and `metrics` serve all of them.
#[test]
fn modules_use_only_what_stands_above_them() {
    let folder = root().join("core/src");
    let order = Source::parse(&[], &fs::read_to_string(folder.join("lib.rs")).unwrap()).children;
    let place = |file: &str| {
        let room = file.split(['/', '.']).next().unwrap().to_owned();
        (order.iter().position(|name| *name == room), room)
    };
    for (file, used) in crate_of(&folder).0.edges() {
        for (other, line) in used {
            let ((from, room), (to, later)) = (place(&file), place(&other));
            let serves = room == "error" || later == "metrics";
            assert!(
                from >= to || serves,
                "{file}:{line}: {room} uses {later}, which stands below it ({other})"
            );
        }
    }
}

#[test]
fn every_source_is_part_of_its_crate() {
    for folder in ["core/src", "sdk/src", "sdk/answer/src"] {
        let folder = root().join(folder);
        let (_, read) = crate_of(&folder);
        // The binary's own files.
        let binary = ["main.rs", "cli.rs", "print.rs"];
        for file in crate::support::files(&folder, ".rs") {
            let name = file.strip_prefix(&folder).unwrap().to_str().unwrap();
            assert!(
                read.contains(name) || (folder.ends_with("core/src") && binary.contains(&name)),
                "{} is no `mod` of its crate",
                file.display()
            );
        }
    }
}

/// A made-up crate: (module, file, text).
fn made_up(files: &[(&str, &str, &str)]) -> Graph {
    let mut graph = Graph::default();
    for (module, file, text) in files {
        let module: Vec<String> = module
            .split("::")
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        graph.add(module.clone(), file, Source::parse(&module, text));
    }
    graph
}

/// `file -> used file` of all edges.
fn edges(graph: &Graph) -> Vec<String> {
    let edges = graph.edges();
    let arrows = |(file, used): (&String, &std::collections::BTreeMap<String, usize>)| {
        used.keys()
            .map(|other| format!("{file} -> {other}"))
            .collect::<Vec<_>>()
    };
    edges.iter().flat_map(arrows).collect()
}

#[test]
fn a_circle_through_a_re_export_is_found() {
    let graph = made_up(&[
        ("", "lib.rs", "pub mod a;\npub mod b;"),
        ("a", "a/mod.rs", "mod x;\nmod y;\npub use x::{X, One as Other};"),
        (
            "a::x",
            "a/x.rs",
            "use crate::{b::{self, B}, a::y::Y};\npub struct X; pub enum One { A }\nfn f() -> B { b::make() }",
        ),
        ("a::y", "a/y.rs", "pub struct Y;"),
        (
            "b",
            "b.rs",
            "/* use crate::a::Y; */ pub struct B;\npub fn make() -> B { crate::a::Other::A; \"crate::a::y::Y\"; B }",
        ),
    ]);
    assert_eq!(edges(&graph), ["a/x.rs -> a/y.rs", "a/x.rs -> b.rs", "b.rs -> a/x.rs"]);
    let found = cycles(&graph.edges());
    assert_eq!(found.len(), 1);
    assert_eq!(
        told(&graph.edges(), &found[0]),
        "  a/x.rs:1 uses b.rs\n  b.rs:2 uses a/x.rs\n"
    );
}

#[test]
fn every_way_to_name_an_item_is_an_edge() {
    for (text, expected) in [
        ("use crate::{b::B, c::C};", vec!["a.rs -> b.rs", "a.rs -> c.rs"]),
        ("use super::{b::{B as _}};", vec!["a.rs -> b.rs"]),
        ("use crate::b;\nfn f(b: b::B) {}", vec!["a.rs -> b.rs"]),
        ("use crate::b;", vec![]),
        (
            "use crate::{self};\nfn f() -> crate::b::B { 'c'; loop {} }",
            vec!["a.rs -> b.rs"],
        ),
        ("fn f<'a>(x: &'a super::b::B) { x.b::<u8>() }", vec!["a.rs -> b.rs"]),
        ("use crate::c::*;\nfn f() -> B { C }", vec!["a.rs -> c.rs"]),
        ("use crate::c::*;\nfn f() {}", vec![]),
        ("pub use crate::b::B;", vec![]),
        ("pub use crate::b::B;\nfn f() -> B { B }", vec!["a.rs -> b.rs"]),
        ("use crate::d::B;", vec!["a.rs -> b.rs"]), // d re-exports all of b
        (
            "mod inner { fn f() -> super::super::b::B { super::g() } }\nfn g() {}",
            vec!["a.rs -> b.rs"],
        ),
        (
            "#[cfg(test)]\nmod tests { use crate::b::B; }\n#[cfg(test)]\nuse crate::c::C;",
            vec![],
        ),
        (
            "// crate::b::B\nconst T: &str = r#\"crate::c::C \" use crate::b::B;\"#;",
            vec![],
        ),
        ("fn f() -> impl Sized + use<> { std::b::B }", vec![]),
    ] {
        let graph = made_up(&[
            ("", "lib.rs", "mod a; mod b; mod c; mod d;"),
            ("a", "a.rs", text),
            ("b", "b.rs", "pub struct B;"),
            ("c", "c.rs", "pub(crate) struct C;"),
            ("d", "d.rs", "pub use super::b::*;"),
        ]);
        assert_eq!(edges(&graph), expected, "{text}");
        assert!(cycles(&graph.edges()).is_empty(), "{text}");
    }
}

#[test]
fn a_module_and_its_own_error_file_may_use_each_other() {
    let graph = |error_of: &str| {
        made_up(&[
            ("", "lib.rs", "pub mod a; pub mod b;"),
            ("a", "a/mod.rs", "use error::Wrong; pub struct A;"),
            ("b", "b/mod.rs", "use crate::a::A; pub struct B;"),
            ("a::error", "a/error.rs", error_of),
        ])
    };
    assert!(cycles(&graph("use super::A; pub struct Wrong;").edges()).is_empty());
    let through_b = graph("use crate::b::B; pub struct Wrong;");
    assert!(cycles(&through_b.edges()).is_empty(), "b uses a, not its error file");
}
