//! Who uses whom, read off the sources of a crate: a tokenizer, the `use` trees and paths of each file, and the graph
//! of files that follows.
//!
//! An edge `a → b` says that `a` names an item that `b` defines. Re-exports are followed to the definition. What stands
//! under `#[cfg(test)]` does not count. Not seen: methods called on a value, and names that a macro makes.

use std::collections::{BTreeMap, BTreeSet};

/// A module as a path of names, the crate's root being empty.
pub type Path = Vec<String>;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    /// What stands between the quotes of a string.
    Text(String),
    /// `::`
    Colons,
    Sign(char),
}

/// The tokens of a source with their lines, without comments, characters and lifetimes.
fn tokens(source: &str) -> Vec<(Token, usize)> {
    let text: Vec<char> = source.chars().collect();
    let at = |i: usize| text.get(i).copied().unwrap_or('\0');
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut found, mut i, mut line) = (Vec::new(), 0, 1);
    while i < text.len() {
        let start = i;
        match at(i) {
            '/' if at(i + 1) == '/' => {
                while i < text.len() && at(i) != '\n' {
                    i += 1;
                }
            }
            '/' if at(i + 1) == '*' => {
                let mut depth = 0;
                loop {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (depth, i) = (depth + 1, i + 2),
                        ('*', '/') => (depth, i) = (depth - 1, i + 2),
                        _ => i += 1,
                    }
                    if depth == 0 || i >= text.len() {
                        break;
                    }
                }
            }
            'r' if at(i + 1) == '"' || (at(i + 1) == '#' && matches!(at(i + 2), '#' | '"')) => {
                i = end_of_raw(&text, i + 1);
                found.push((Token::Text(between_quotes(&text[start..i])), line));
            }
            'b' if at(i + 1) == 'r' && matches!(at(i + 2), '#' | '"') => i += 1, // the raw string follows
            'b' | 'c' if at(i + 1) == '"' => i += 1,                             // the string follows
            '"' => {
                i += 1;
                while i < text.len() && at(i) != '"' {
                    i += if at(i) == '\\' { 2 } else { 1 };
                }
                i += 1;
                found.push((Token::Text(between_quotes(&text[start..i.min(text.len())])), line));
            }
            // A character, not a lifetime: it is escaped, or closed after one.
            '\'' if at(i + 1) == '\\' => {
                i += 3;
                while i < text.len() && at(i) != '\'' {
                    i += 1;
                }
                i += 1;
            }
            '\'' if at(i + 2) == '\'' => i += 3,
            '\'' => {
                i += 1;
                while is_word(at(i)) {
                    i += 1;
                }
            }
            c if is_word(c) => {
                while is_word(at(i)) {
                    i += 1;
                }
                found.push((Token::Word(text[start..i].iter().collect()), line));
            }
            ':' if at(i + 1) == ':' => {
                found.push((Token::Colons, line));
                i += 2;
            }
            c => {
                if !c.is_whitespace() {
                    found.push((Token::Sign(c), line));
                }
                i += 1;
            }
        }
        line += text[start..i.min(text.len())].iter().filter(|&&c| c == '\n').count();
    }
    found
}

/// What stands between the first and the last quote of a literal.
fn between_quotes(literal: &[char]) -> String {
    let inside = literal.iter().skip_while(|&&c| c != '"').skip(1);
    let text: String = inside.collect();
    text.trim_end_matches('#').trim_end_matches('"').to_owned()
}

/// The place after a raw string whose hashes begin at `i`.
fn end_of_raw(text: &[char], i: usize) -> usize {
    let hashes = text[i..].iter().take_while(|&&c| c == '#').count();
    let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let body = i + hashes + 1;
    let end = text[body..].windows(close.len()).position(|w| w == close);
    end.map_or(text.len(), |end| body + end + close.len())
}

/// A path that a file names, and where.
#[derive(Clone, Debug, PartialEq)]
struct Named {
    path: Path,
    line: usize,
}

/// `use path as name;`; the name of a glob is `*`.
#[derive(Clone, Debug, PartialEq)]
struct Import {
    name: String,
    /// From the crate's root, or as written where it begins with another crate.
    target: Named,
    public: bool,
}

/// What one file says.
#[derive(Debug, Default)]
pub struct Source {
    /// Modules in files of their own, `mod name;`.
    pub children: Vec<String>,
    /// Those of them that are built for tests only.
    pub test_children: Vec<String>,
    /// Names and the texts of strings, outside of what is built for tests, with their lines.
    pub words: Vec<(String, usize)>,
    /// See [`Source::words`].
    pub texts: Vec<(String, usize)>,
    items: BTreeSet<String>,
    imports: Vec<Import>,
    paths: Vec<Named>,
    /// First names of paths.
    first: BTreeSet<String>,
}

impl Source {
    /// Reads the text of the file of `module`.
    pub fn parse(module: &[String], text: &str) -> Self {
        let mut reader = Reader {
            tokens: tokens(text),
            at: 0,
            inner: Vec::new(),
            depth: 0,
            for_tests: Vec::new(),
            module: module.to_vec(),
            source: Self::default(),
        };
        reader.run();
        let Reader {
            tokens,
            for_tests,
            mut source,
            ..
        } = reader;
        for (i, (token, line)) in tokens.into_iter().enumerate() {
            match token {
                _ if for_tests.iter().any(|range| range.contains(&i)) => {}
                Token::Word(word) => source.words.push((word, line)),
                Token::Text(text) => source.texts.push((text, line)),
                _ => {}
            }
        }
        source
    }
}

struct Reader {
    tokens: Vec<(Token, usize)>,
    at: usize,
    /// Modules with a body that are open, with the depth of their braces.
    inner: Vec<(String, usize)>,
    depth: usize,
    /// Places in `tokens`.
    for_tests: Vec<std::ops::Range<usize>>,
    module: Path,
    source: Source,
}

impl Reader {
    fn peek(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead).map(|(token, _)| token)
    }

    fn word(&self, ahead: usize) -> Option<String> {
        match self.peek(ahead) {
            Some(Token::Word(word)) => Some(word.clone()),
            _ => None,
        }
    }

    fn sign(&self, ahead: usize, sign: char) -> bool {
        self.peek(ahead) == Some(&Token::Sign(sign))
    }

    /// The module that the reader stands in.
    fn here(&self) -> Path {
        let inner = self.inner.iter().map(|(name, _)| name.clone());
        self.module.iter().cloned().chain(inner).collect()
    }

    fn run(&mut self) {
        let mut public = false;
        while self.at < self.tokens.len() {
            if self.sign(0, '#') {
                if self.attribute_is_for_tests() {
                    let start = self.at;
                    self.skip_item();
                    self.for_tests.push(start..self.at);
                }
                continue;
            }
            let Some(word) = self.word(0) else {
                match self.peek(0) {
                    Some(Token::Sign('{')) => self.depth += 1,
                    Some(Token::Sign('}')) => {
                        if self.inner.last().is_some_and(|&(_, depth)| depth == self.depth) {
                            self.inner.pop();
                        }
                        self.depth -= 1;
                    }
                    _ => {}
                }
                public = public && matches!(self.peek(0), Some(Token::Sign('(' | ')')));
                self.at += 1;
                continue;
            };
            let top = self.depth == self.inner.last().map_or(0, |&(_, depth)| depth);
            match word.as_str() {
                "pub" => public = true,
                "crate" | "super" | "self" | "in" if public && self.sign(1, ')') => {} // pub(crate)
                "use" if !self.sign(1, '<') => {
                    self.at += 1;
                    self.tree(&[], public);
                    public = false;
                    continue;
                }
                "mod" if self.sign(2, ';') => {
                    self.source.children.extend(self.word(1));
                    self.at += 2;
                }
                "mod" if self.sign(2, '{') => {
                    let name = self.word(1).unwrap_or_default();
                    self.depth += 1;
                    self.inner.push((name, self.depth));
                    self.at += 2;
                }
                "fn" | "struct" | "enum" | "trait" | "type" | "const" | "static" | "union" if top => {
                    // Put together, as this file may not hold the word itself.
                    let qualifiers = ["fn", "mut", "extern", &["un", "safe"].concat()].map(str::to_owned);
                    let mut next = 1;
                    while self.word(next).is_some_and(|word| qualifiers.contains(&word)) {
                        next += 1;
                    }
                    if self.inner.is_empty() {
                        self.source.items.extend(self.word(next));
                    }
                    self.at += next - 1;
                    public = false;
                }
                "macro_rules" => self.source.items.extend(self.word(2)),
                _ => {
                    self.path();
                    continue;
                }
            }
            self.at += 1;
        }
    }

    /// Steps over an attribute; whether it keeps an item for tests.
    fn attribute_is_for_tests(&mut self) -> bool {
        let start = self.at;
        self.at += if self.sign(1, '!') { 2 } else { 1 };
        self.skip_group();
        let words: Vec<&Token> = self.tokens[start..self.at].iter().map(|(token, _)| token).collect();
        let has = |word: &str| words.contains(&&Token::Word(word.to_owned()));
        let first = words.iter().find(|token| matches!(token, Token::Word(_)));
        assert!(
            first != Some(&&Token::Word("path".into())),
            "#[path] is not understood here"
        );
        has("cfg") && has("test") && !has("not")
    }

    /// Steps over `(…)`, `[…]` or `{…}`.
    fn skip_group(&mut self) {
        let mut depth = 0;
        while self.at < self.tokens.len() {
            match self.peek(0) {
                Some(Token::Sign('(' | '[' | '{')) => depth += 1,
                Some(Token::Sign(')' | ']' | '}')) => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }

    /// Steps over an item for tests; a module of it in a file of its own is noted.
    fn skip_item(&mut self) {
        while self.at < self.tokens.len() {
            match self.peek(0) {
                Some(Token::Sign('#')) => {
                    self.attribute_is_for_tests();
                }
                Some(Token::Sign('{')) => return self.skip_group(),
                Some(Token::Sign('(' | '[')) => self.skip_group(),
                Some(Token::Sign(';')) => {
                    self.at += 1;
                    return;
                }
                Some(Token::Word(word)) if word == "mod" && self.sign(2, ';') => {
                    self.source.test_children.extend(self.word(1));
                    self.at += 3;
                    return;
                }
                _ => self.at += 1,
            }
        }
    }

    /// One tree of a `use`, after `prefix`; ends behind its `;`, or at the `,` or `}` that ends it in a list.
    fn tree(&mut self, prefix: &[String], public: bool) {
        let mut path = prefix.to_vec();
        let mut name = None;
        let line = self.tokens[self.at].1;
        let mut listed = false;
        loop {
            match self.peek(0).cloned() {
                Some(Token::Word(word)) if word == "as" => {
                    name = self.word(1);
                    self.at += 2;
                }
                Some(Token::Word(word)) => {
                    path.push(word);
                    self.at += 1;
                }
                Some(Token::Colons) => self.at += 1,
                Some(Token::Sign('*')) => {
                    path.push("*".into());
                    self.at += 1;
                }
                Some(Token::Sign('{')) => {
                    listed = true;
                    self.at += 1;
                    while !self.sign(0, '}') {
                        self.tree(&path, public);
                        self.at += usize::from(self.sign(0, ','));
                    }
                    self.at += 1;
                }
                _ => break,
            }
        }
        if prefix.is_empty() && self.sign(0, ';') {
            self.at += 1;
        }
        if listed || path.is_empty() {
            return;
        }
        let glob = path.last().is_some_and(|last| last == "*");
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") || glob {
            path.pop();
        }
        let name = name.or(path.last().cloned()).unwrap_or_default();
        let name = if glob { "*".to_owned() } else { name };
        let target = Named {
            path: self.absolute(&path),
            line,
        };
        self.source.imports.push(Import { name, target, public });
    }

    /// A path that is not a `use`: `crate::a::b`, `super::b`, `a::b`, or a name alone.
    fn path(&mut self) {
        let line = self.tokens[self.at].1;
        let after_dot = self.at > 0 && self.tokens[self.at - 1].0 == Token::Sign('.');
        let mut path = vec![self.word(0).unwrap_or_default()];
        self.at += 1;
        while self.peek(0) == Some(&Token::Colons) {
            let Some(word) = self.word(1) else { break };
            path.push(word);
            self.at += 2;
        }
        if self.peek(0) == Some(&Token::Colons) {
            self.at += 1; // of `::<`
        }
        if !after_dot {
            self.source.first.insert(path[0].clone());
            if path.len() > 1 {
                let path = self.absolute(&path);
                self.source.paths.push(Named { path, line });
            }
        }
    }

    /// With `crate`, `self` and `super` at its beginning worked out; what begins otherwise stays, marked by a `?`.
    fn absolute(&self, path: &[String]) -> Path {
        let mut base = self.here();
        let mut rest = path;
        match rest.first().map(String::as_str) {
            Some("crate") => (base, rest) = (Vec::new(), &rest[1..]),
            Some("self") => rest = &rest[1..],
            Some("super") => {
                while rest.first().is_some_and(|first| first == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            _ => base = vec!["?".to_owned()],
        }
        base.extend(rest.iter().cloned());
        base
    }
}

/// The files of a crate, by module.
#[derive(Debug, Default)]
pub struct Graph {
    files: BTreeMap<Path, (String, Source)>,
}

/// File by file, what a file uses and the first line that says so.
pub type Edges = BTreeMap<String, BTreeMap<String, usize>>;

impl Graph {
    /// Adds the file `name` of `module`.
    pub fn add(&mut self, module: Path, name: &str, source: Source) {
        self.files.insert(module, (name.to_owned(), source));
    }

    /// The edges, without those between a module and its own error file.
    pub fn edges(&self) -> Edges {
        let mut edges = Edges::new();
        for (module, (file, source)) in &self.files {
            let found = edges.entry(file.clone()).or_default();
            let mut add = |owner: Option<&Path>, line: usize| {
                let Some(owner) = owner.filter(|owner| *owner != module) else {
                    return;
                };
                let own_error = |parent: &Path, child: &Path| {
                    child
                        .split_last()
                        .is_some_and(|(last, rest)| last == "error" && rest == &parent[..])
                };
                if !own_error(module, owner) && !own_error(owner, module) {
                    let first = found.entry(self.files[owner].0.clone()).or_insert(line);
                    *first = line.min(*first);
                }
            };
            for import in &source.imports {
                let target = self.local(module, &import.target.path);
                if import.name == "*" {
                    for word in source.first.iter().filter(|_| !import.public) {
                        let path: Path = target.iter().flatten().chain([word]).cloned().collect();
                        add(self.defined(&path, 0), import.target.line);
                    }
                } else if !import.public || source.first.contains(&import.name) {
                    add(target.and_then(|path| self.owner(&path, 0)), import.target.line);
                }
            }
            for named in &source.paths {
                let path = self.local(module, &named.path);
                add(path.and_then(|path| self.owner(&path, 0)), named.line);
            }
        }
        edges
    }

    /// A path from the crate's root; none if it leads out of the crate.
    fn local(&self, module: &[String], path: &[String]) -> Option<Path> {
        if path.first().is_none_or(|first| first != "?") {
            return Some(path.to_vec());
        }
        let (first, rest) = path[1..].split_first()?;
        let source = &self.files.get(module)?.1;
        let beside = |mut base: Path| {
            base.extend(rest.iter().cloned());
            base
        };
        let own = |import: &&Import| import.name == *first && import.target.path[1..].first() != Some(first);
        if let Some(import) = source.imports.iter().find(own) {
            return self.local(module, &import.target.path).map(beside);
        }
        if source.children.contains(first) {
            return Some(beside(module.iter().chain([first]).cloned().collect()));
        }
        let import = source.imports.iter().find(|import| import.name == *first)?;
        let known = import.target.path.first().is_some_and(|start| start != "?");
        known.then(|| beside(import.target.path.clone()))
    }

    /// The module whose file defines the item of `path`; none for a module, and for what is not in the crate.
    fn owner<'a>(&'a self, path: &[String], hops: usize) -> Option<&'a Path> {
        if self.files.contains_key(path) {
            return None;
        }
        self.defined(path, hops).or_else(|| {
            let (module, _) = self.split(path)?;
            Some(module)
        })
    }

    /// As [`Graph::owner`], but only where the definition was found.
    fn defined<'a>(&'a self, path: &[String], hops: usize) -> Option<&'a Path> {
        let (module, rest) = self.split(path)?;
        let item = rest.first().filter(|_| hops < 16)?;
        let source = &self.files[module].1;
        if source.items.contains(item) {
            return Some(module);
        }
        for import in source.imports.iter().filter(|import| import.name == *item) {
            let mut target = self.local(module, &import.target.path)?;
            target.extend(rest[1..].iter().cloned());
            if target != path {
                return self.owner(&target, hops + 1);
            }
        }
        let globs = source.imports.iter().filter(|import| import.name == "*");
        globs
            .filter_map(|glob| {
                let mut target = self.local(module, &glob.target.path)?;
                target.extend(rest.iter().cloned());
                self.defined(&target, hops + 1)
            })
            .next()
    }

    /// The longest part of a path that is a file's module, and what follows.
    fn split<'a, 'p>(&'a self, path: &'p [String]) -> Option<(&'a Path, &'p [String])> {
        (0..=path.len()).rev().find_map(|k| {
            let (module, _) = self.files.get_key_value(&path[..k])?;
            Some((module, &path[k..]))
        })
    }
}

/// The sets of files that all use each other, directly or through others.
pub fn cycles(edges: &Edges) -> Vec<BTreeSet<String>> {
    let reach = |from: &str| {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&str> = vec![from];
        while let Some(file) = open.pop() {
            for next in edges.get(file).into_iter().flat_map(BTreeMap::keys) {
                if seen.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<String>> = edges.keys().map(|file| (file, reach(file))).collect();
    let mut found = BTreeSet::new();
    for (file, to) in &reached {
        if to.contains(*file) {
            let both = |other: &&String| reached.get(other).is_some_and(|back| back.contains(*file));
            found.insert(to.iter().filter(both).cloned().collect::<BTreeSet<_>>());
        }
    }
    found.into_iter().collect()
}

/// The edges within a set of files, one a line: `a.rs:3 uses b.rs`.
pub fn told(edges: &Edges, files: &BTreeSet<String>) -> String {
    let mut lines = String::new();
    for file in files {
        for (other, line) in edges[file].iter().filter(|(other, _)| files.contains(*other)) {
            lines += &format!("  {file}:{line} uses {other}\n");
        }
    }
    lines
}
