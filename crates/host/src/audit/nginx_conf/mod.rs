//! nginx's configuration as a tree of directives, each with its file and line.
//!
//! The parser knows the syntax, not the directives: only nginx knows whether it accepts a configuration.

pub mod glob;
pub(crate) mod lexer;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use lexer::{Lexer, Token};

/// Name of the file that directives of the command line are in.
const COMMAND_LINE: &str = "nginx -g";
/// Depth of includes; nginx itself stops only when it runs out of open files.
const DEEPEST_INCLUDE: usize = 16;
/// Depth of blocks, which limits the recursion for hostile input.
const DEEPEST_BLOCK: usize = 64;

/// A directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// Its name.
    pub name: String,
    /// Arguments, without quotes.
    pub arguments: Vec<String>,
    /// Directives in its braces; `None` where it ends with `;`.
    pub block: Option<Vec<Directive>>,
    /// File that contains it.
    pub file: String,
    /// First line, from 1.
    pub line: usize,
    /// Line of its `{` or `;`.
    pub head_line: usize,
    /// Line of its `}` or `;`.
    pub last_line: usize,
}

impl Directive {
    /// Returns the first argument.
    #[must_use]
    pub fn value(&self) -> &str {
        self.arguments.first().map_or("", String::as_str)
    }

    /// Returns the directives in its braces.
    #[must_use]
    pub fn children(&self) -> &[Self] {
        self.block.as_deref().unwrap_or_default()
    }

    /// Returns the first directive called `name` in its braces.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children().iter().find(|child| child.name == name)
    }

    /// Returns `FILE:LINE`.
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

/// Quotes a word so that nginx reads it back.
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

/// Reason why a text is not a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Line, from 1.
    pub line: usize,
    /// Description of the error.
    pub what: String,
}

/// Parses one file; `include` is not resolved.
///
/// # Errors
/// Braces, quotes, or semicolons are missing, or the text is a template.
pub fn parse(file: &str, text: &str) -> Result<Vec<Directive>, SyntaxError> {
    if text.starts_with('\u{feff}') {
        let what = "the file begins with a byte order mark, which nginx refuses".to_owned();
        return Err(SyntaxError { line: 1, what });
    }
    let mut lexer = Lexer::new(text);
    block(&mut lexer, file, 0).map_err(|error| match template_mark(text) {
        Some((line, mark)) => {
            let what = format!("this looks like a template ({mark}); render it first ({})", error.what);
            SyntaxError { line, what }
        }
        None => error,
    })
}

/// Finds the first mark of a template language outside of comments: its line, from 1, and the mark.
fn template_mark(text: &str) -> Option<(usize, &'static str)> {
    const MARKS: [&str; 6] = ["{{", "{%", "<%", "<?", "${{", "@@"];
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with('#'));
    lines.find_map(|(at, line)| {
        let marked = MARKS.iter().find(|mark| line.contains(**mark)).copied();
        // A variable in the place of directives, which envsubst replaces.
        let placeholder = line.trim().starts_with("${") && line.trim().ends_with('}');
        marked.or(placeholder.then_some("${")).map(|mark| (at + 1, mark))
    })
}

/// Parses directives up to the `}` of this block, or to the end of the text.
fn block(lexer: &mut Lexer<'_>, file: &str, depth: usize) -> Result<Vec<Directive>, SyntaxError> {
    let begun = lexer.line();
    let wrong = |line, what: &str| Err(SyntaxError { line, what: what.to_owned() });
    if depth > DEEPEST_BLOCK {
        return wrong(begun, "blocks are nested too deeply");
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
            Token::Close if !words.is_empty() => return wrong(first_line, "the directive has no `;`"),
            Token::Close if depth == 0 => return wrong(line, "unexpected `}`"),
            Token::Close => return Ok(found),
            Token::End | Token::Open if words.is_empty() => {
                return wrong(line, "unexpected `;` or `{` without a directive");
            }
            Token::End => found.push(directive(&mut words, None, file, [first_line, line, line])),
            Token::Open => {
                let lua = words.first().is_some_and(|name| name.ends_with("_by_lua_block"));
                let children = if lua {
                    lexer.skip_lua()?;
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
        return wrong(first_line, "the directive has no `;`");
    }
    if depth > 0 {
        return wrong(begun, "the `{` has no `}`");
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

/// Files of a configuration before they are put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Name of the file that nginx starts with.
    pub main: String,
    /// Directives of the command line (`-g`).
    pub global: Option<String>,
    /// Text of each file by the name under which it is included.
    pub texts: BTreeMap<String, String>,
    /// Real path of files that are included through a symbolic link, by that name.
    pub real_paths: BTreeMap<String, String>,
    /// Files for each pattern of an `include`, where they were looked up.
    pub included: BTreeMap<String, Vec<String>>,
    /// Patterns whose files are not there or were not to be read.
    pub unread: BTreeSet<String>,
}

/// An `include` whose files were not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingInclude {
    /// Path or pattern of the include.
    pub pattern: String,
    /// Place of the `include`.
    pub place: String,
    /// Whether it is inside of the `http` block.
    pub in_http: bool,
}

impl MissingInclude {
    /// Reports whether the files may contain directives that an audit asks for. MIME types, character
    /// maps, parameters of FastCGI, and modules to load are of no interest.
    #[must_use]
    pub fn matters(&self) -> bool {
        const HARMLESS: [&str; 9] = [
            "mime.types",
            "fastcgi_params",
            "fastcgi.conf",
            "uwsgi_params",
            "scgi_params",
            "koi-utf",
            "koi-win",
            "win-utf",
            "fastcgi-php.conf",
        ];
        let name = self.pattern.rsplit('/').next().unwrap_or_default();
        !HARMLESS.contains(&name) && (self.in_http || !self.pattern.contains("modules"))
    }
}

/// A configuration with its files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// Text of each file by the name under which it is included.
    pub files: BTreeMap<String, String>,
    /// Real path of files that are included through a symbolic link, by that name.
    pub real_paths: BTreeMap<String, String>,
    /// All directives; an `include` is replaced with the directives of its files.
    pub directives: Vec<Directive>,
    /// Includes whose files were not read.
    pub missing: Vec<MissingInclude>,
    /// Name of the file that nginx starts with.
    pub main: String,
    /// Number of inclusions of each file.
    pub inclusions: BTreeMap<String, usize>,
    /// Whether the main file is only a part of a configuration, which was read as if it were inside `http`.
    pub fragment: bool,
}

/// Puts the files of a configuration together.
///
/// # Errors
/// The file and its syntax error.
pub fn assemble(files: Files) -> Result<Configuration, (String, SyntaxError)> {
    let folder = files.main.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
    let mut assembly = Assembly {
        files: &files,
        folder,
        missing: Vec::new(),
        inclusions: BTreeMap::new(),
        blocks: Vec::new(),
    };
    let mut directives = match &files.global {
        Some(global) => parse(COMMAND_LINE, global).map_err(|error| (COMMAND_LINE.to_owned(), error))?,
        None => Vec::new(),
    };
    directives.extend(assembly.file(&files.main, 0)?);
    let (missing, inclusions) =
        (std::mem::take(&mut assembly.missing), std::mem::take(&mut assembly.inclusions));
    let (directives, fragment) = in_http(directives, &files.main);
    let Files { main, texts, real_paths, .. } = files;
    Ok(Configuration { files: texts, real_paths, directives, missing, main, inclusions, fragment })
}

/// Wraps the directives of a fragment (a file of conf.d or sites-available) into the blocks that it is
/// included in.
fn in_http(directives: Vec<Directive>, file: &str) -> (Vec<Directive>, bool) {
    const MAIN: [&str; 5] = ["http", "events", "stream", "mail", "rtmp"];
    let has = |names: &[&str]| directives.iter().any(|directive| names.contains(&directive.name.as_str()));
    if directives.is_empty() || has(&MAIN) {
        return (directives, false);
    }
    let wrap = |name: &str, children| Directive {
        name: name.into(),
        arguments: Vec::new(),
        block: Some(children),
        file: file.to_owned(),
        line: 0,
        head_line: 0,
        last_line: 0,
    };
    let inner = if has(&["location", "listen", "root", "alias"]) && !has(&["server"]) {
        vec![wrap("server", directives)]
    } else {
        directives
    };
    (vec![wrap("http", inner)], true)
}

/// State of [`assemble`].
struct Assembly<'a> {
    files: &'a Files,
    folder: String,
    missing: Vec<MissingInclude>,
    inclusions: BTreeMap<String, usize>,
    /// Names of the blocks around the current directive.
    blocks: Vec<String>,
}

impl Assembly<'_> {
    fn file(&mut self, file: &str, depth: usize) -> Result<Vec<Directive>, (String, SyntaxError)> {
        let Some(text) = self.files.texts.get(file) else { return Ok(Vec::new()) };
        if depth > DEEPEST_INCLUDE {
            let what = "includes are nested too deeply; the file may include itself".to_owned();
            return Err((file.to_owned(), SyntaxError { line: 1, what }));
        }
        // A file under two names counts as included twice.
        let real = self.files.real_paths.get(file).map_or(file, String::as_str);
        *self.inclusions.entry(real.to_owned()).or_default() += 1;
        let directives = parse(file, text).map_err(|error| (file.to_owned(), error))?;
        self.resolve(directives, depth)
    }

    fn resolve(
        &mut self,
        directives: Vec<Directive>,
        depth: usize,
    ) -> Result<Vec<Directive>, (String, SyntaxError)> {
        let mut found = Vec::new();
        for mut directive in directives {
            if directive.name == "include" && directive.block.is_none() {
                for file in self.included(&directive) {
                    found.extend(self.file(&file, depth + 1)?);
                }
                continue;
            }
            if let Some(children) = directive.block.take() {
                self.blocks.push(directive.name.clone());
                directive.block = Some(self.resolve(children, depth)?);
                self.blocks.pop();
            }
            found.push(directive);
        }
        Ok(found)
    }

    /// Returns the files of an `include`, and records it as missing where there are none.
    fn included(&mut self, include: &Directive) -> Vec<String> {
        let pattern = absolute(&self.folder, include.value());
        let found = match self.files.included.get(&pattern) {
            Some(files) => files.clone(),
            None if glob::is_pattern(&pattern) => {
                self.files.texts.keys().filter(|file| glob::matches(&pattern, file)).cloned().collect()
            }
            None => self.files.texts.contains_key(&pattern).then(|| pattern.clone()).into_iter().collect(),
        };
        let absent = found.is_empty() && !glob::is_pattern(&pattern);
        if absent || self.files.unread.contains(&pattern) {
            let in_http = self.blocks.first().is_some_and(|block| block == "http");
            self.missing.push(MissingInclude { pattern, place: include.place(), in_http });
        }
        found
    }
}

/// Resolves a path of the configuration; relative paths are relative to `folder`.
#[must_use]
pub fn absolute(folder: &str, path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", folder.trim_end_matches('/')) }
}

/// Returns the patterns of all `include` directives.
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

/// Splits the output of `nginx -T` into files, the main one first.
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
    // nginx adds an empty line after each file.
    for (_, text) in &mut files {
        if text.ends_with("\n\n") || text == "\n" {
            text.pop();
        }
    }
    files
}
