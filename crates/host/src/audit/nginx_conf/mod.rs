//! nginx's configuration as a tree of directives, each with the place it stands in.
//!
//! It knows the syntax, not the directives: whether nginx accepts a text is asked of nginx.

pub mod glob;
pub(crate) mod lexer;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use lexer::{Lexer, Token};

/// How deep files may include files; nginx itself only ends when it runs out of open files.
const DEEPEST_INCLUDE: usize = 16;
/// How deep blocks may stand in blocks: no real configuration comes near, and a hostile one ends here.
const DEEPEST_BLOCK: usize = 64;

/// A directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// Its name.
    pub name: String,
    /// What follows the name, without quotes.
    pub arguments: Vec<String>,
    /// What stands in its braces; `None` where it ends with `;`.
    pub block: Option<Vec<Directive>>,
    /// File that it stands in.
    pub file: String,
    /// First line, from 1.
    pub line: usize,
    /// Line of its `{` or `;`.
    pub head_line: usize,
    /// Line of its `}` or `;`.
    pub last_line: usize,
}

impl Directive {
    /// The first argument.
    #[must_use]
    pub fn value(&self) -> &str {
        self.arguments.first().map_or("", String::as_str)
    }

    /// What stands in its braces.
    #[must_use]
    pub fn children(&self) -> &[Self] {
        self.block.as_deref().unwrap_or_default()
    }

    /// `FILE:LINE`.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }
}

impl fmt::Display for Directive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for argument in &self.arguments {
            write!(f, " {}", quote(argument))?;
        }
        f.write_str(if self.block.is_some() { " { … }" } else { ";" })
    }
}

/// A word as nginx reads it back.
#[must_use]
pub fn quote(word: &str) -> String {
    let plain = |c: char| !c.is_ascii_whitespace() && !";{}\"'\\#$".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    let mut text = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

/// Why a text is no configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

/// Reads one file; `include` is left as it stands.
///
/// # Errors
/// Braces, quotes or semicolons are missing.
pub fn parse(file: &str, text: &str) -> Result<Vec<Directive>, SyntaxError> {
    let mut lexer = Lexer::new(text);
    let directives = block(&mut lexer, file, 0)?;
    Ok(directives)
}

/// Directives up to the `}` of this block, or to the end of the text.
fn block(lexer: &mut Lexer<'_>, file: &str, depth: usize) -> Result<Vec<Directive>, SyntaxError> {
    let begun = lexer.line();
    let wrong = |line, what: &str| Err(SyntaxError { line, what: what.to_owned() });
    if depth > DEEPEST_BLOCK {
        return wrong(begun, "blocks stand too deep in blocks");
    }
    let mut found = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut first_line = begun;
    while let Some((token, line)) = lexer.next()? {
        match token {
            Token::Word(word) => {
                if words.is_empty() {
                    first_line = line;
                }
                words.push(word);
            }
            Token::Close if !words.is_empty() => return wrong(first_line, "a directive without its `;`"),
            Token::Close if depth == 0 => return wrong(line, "a `}` too many"),
            Token::Close => return Ok(found),
            Token::End | Token::Open if words.is_empty() => {
                return wrong(line, "a `;` or `{` without a directive");
            }
            Token::End => found.push(directive(&mut words, None, file, [first_line, line, line])),
            Token::Open => {
                let lua = words.first().is_some_and(|name| name.ends_with("_by_lua_block"));
                let children = if lua {
                    lexer.skip_foreign()?;
                    Vec::new()
                } else {
                    block(lexer, file, depth + 1)?
                };
                let lines = [first_line, line, lexer.line()];
                found.push(directive(&mut words, Some(children), file, lines));
            }
        }
    }
    if !words.is_empty() {
        return wrong(first_line, "a directive without its `;`");
    }
    if depth > 0 {
        return wrong(begun, "a `{` whose `}` is missing");
    }
    Ok(found)
}

fn directive(
    words: &mut Vec<String>,
    block: Option<Vec<Directive>>,
    file: &str,
    lines: [usize; 3],
) -> Directive {
    let mut words = std::mem::take(words).into_iter();
    let name = words.next().unwrap_or_default();
    let [line, head_line, last_line] = lines;
    Directive { name, arguments: words.collect(), block, file: file.to_owned(), line, head_line, last_line }
}

/// A configuration with its files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// Every file by its path.
    pub files: BTreeMap<String, String>,
    /// All directives; in the place of an `include` stands what it names.
    pub directives: Vec<Directive>,
    /// What was included and is not there.
    pub missing: Vec<String>,
}

/// Puts the files of a configuration together.
///
/// # Errors
/// The file and why it cannot be read.
pub fn assemble(main: &str, files: BTreeMap<String, String>) -> Result<Configuration, (String, SyntaxError)> {
    let folder = main.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
    let mut missing = Vec::new();
    let directives = include(main, &folder, &files, &mut missing, 0)?;
    Ok(Configuration { files, directives, missing })
}

fn include(
    file: &str,
    folder: &str,
    files: &BTreeMap<String, String>,
    missing: &mut Vec<String>,
    depth: usize,
) -> Result<Vec<Directive>, (String, SyntaxError)> {
    let Some(text) = files.get(file) else {
        missing.push(file.to_owned());
        return Ok(Vec::new());
    };
    if depth > DEEPEST_INCLUDE {
        let what = "files include files too deep, perhaps themselves".to_owned();
        return Err((file.to_owned(), SyntaxError { line: 1, what }));
    }
    let directives = parse(file, text).map_err(|error| (file.to_owned(), error))?;
    resolve(directives, folder, files, missing, depth)
}

fn resolve(
    directives: Vec<Directive>,
    folder: &str,
    files: &BTreeMap<String, String>,
    missing: &mut Vec<String>,
    depth: usize,
) -> Result<Vec<Directive>, (String, SyntaxError)> {
    let mut found = Vec::new();
    for mut directive in directives {
        if directive.name == "include" && directive.block.is_none() {
            let pattern = absolute(folder, directive.value());
            if glob::is_pattern(&pattern) {
                for file in files.keys().filter(|file| glob::matches(&pattern, file)) {
                    found.extend(include(file, folder, files, missing, depth + 1)?);
                }
            } else {
                found.extend(include(&pattern, folder, files, missing, depth + 1)?);
            }
            continue;
        }
        if let Some(children) = directive.block.take() {
            directive.block = Some(resolve(children, folder, files, missing, depth)?);
        }
        found.push(directive);
    }
    Ok(found)
}

/// A path as nginx reads it in its configuration: relative ones are meant from `folder`.
#[must_use]
pub fn absolute(folder: &str, path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", folder.trim_end_matches('/')) }
}

/// What the files named by `include` are, before they are read.
#[must_use]
pub fn includes(directives: &[Directive]) -> Vec<String> {
    let mut found = Vec::new();
    for directive in directives {
        if directive.name == "include" && directive.block.is_none() {
            found.push(directive.value().to_owned());
        }
        found.extend(includes(directive.children()));
    }
    found
}

/// The files in the answer to `nginx -T`, the main one first.
#[must_use]
pub fn dump(answer: &str) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = Vec::new();
    for line in answer.split_inclusive('\n') {
        let head =
            line.trim_end().strip_prefix("# configuration file ").and_then(|rest| rest.strip_suffix(':'));
        match (head, files.last_mut()) {
            (Some(path), _) => files.push((path.to_owned(), String::new())),
            (None, Some((_, text))) => text.push_str(line),
            (None, None) => {}
        }
    }
    // nginx adds an empty line behind each file.
    for (_, text) in &mut files {
        if text.ends_with("\n\n") || text == "\n" {
            text.pop();
        }
    }
    files
}
