//! Words of an nginx configuration: quotes, escapes, comments, variables in braces, blocks of Lua.

use super::SyntaxError;

/// A token with the line it begins in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A word, without its quotes.
    Word(String),
    /// `;`
    End,
    /// `{`
    Open,
    /// `}`
    Close,
}

/// Reads tokens one by one.
pub(crate) struct Lexer<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    line: usize,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { rest: text.trim_start_matches('\u{feff}').chars().peekable(), line: 1 }
    }

    /// The line that is being read, from 1.
    pub(crate) const fn line(&self) -> usize {
        self.line
    }

    fn take(&mut self) -> Option<char> {
        let next = self.rest.next();
        if next == Some('\n') {
            self.line += 1;
        }
        next
    }

    /// The next token with its line; none at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(Token, usize)>, SyntaxError> {
        loop {
            match self.rest.peek() {
                None => return Ok(None),
                Some('#') => {
                    while self.rest.peek().is_some_and(|c| *c != '\n') {
                        self.take();
                    }
                }
                Some(c) if c.is_ascii_whitespace() => drop(self.take()),
                Some(_) => break,
            }
        }
        let line = self.line;
        let token = match self.rest.peek() {
            Some(';') => Token::End,
            Some('{') => Token::Open,
            Some('}') => Token::Close,
            Some(quote @ ('"' | '\'')) => {
                let quote = *quote;
                return Ok(Some((Token::Word(self.quoted(quote)?), line)));
            }
            _ => return Ok(Some((Token::Word(self.unlimited()), line))),
        };
        self.take();
        Ok(Some((token, line)))
    }

    fn quoted(&mut self, quote: char) -> Result<String, SyntaxError> {
        let begun = self.line;
        self.take();
        let mut word = String::new();
        while let Some(c) = self.take() {
            match c {
                _ if c == quote => return Ok(word),
                '\\' => self.escape(&mut word),
                c => word.push(c),
            }
        }
        Err(SyntaxError { line: begun, what: format!("a {quote} that never ends") })
    }

    fn unlimited(&mut self) -> String {
        let mut word = String::new();
        while let Some(c) = self.rest.peek().copied() {
            match c {
                ';' | '{' => break,
                c if c.is_ascii_whitespace() => break,
                '$' => {
                    word.extend(self.take());
                    // `${name}` is a variable, not a block.
                    if self.rest.peek() == Some(&'{') {
                        word.extend(self.take());
                    }
                }
                '\\' => {
                    self.take();
                    self.escape(&mut word);
                }
                c => {
                    self.take();
                    word.push(c);
                }
            }
        }
        word
    }

    /// nginx drops the backslash before quotes, itself and blanks written as letters, and keeps it before
    /// anything else.
    fn escape(&mut self, word: &mut String) {
        match self.take() {
            Some(c @ ('"' | '\'' | '\\')) => word.push(c),
            Some('t') => word.push('\t'),
            Some('r') => word.push('\r'),
            Some('n') => word.push('\n'),
            Some(c) => word.extend(['\\', c]),
            None => word.push('\\'),
        }
    }

    /// Skips a block of another language, whose `{` has been read, up to and with its `}`.
    pub(crate) fn skip_foreign(&mut self) -> Result<(), SyntaxError> {
        let begun = self.line;
        let mut depth = 1_usize;
        while let Some(c) = self.take() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                quote @ ('"' | '\'') => self.skip_string(quote),
                '-' if self.rest.peek() == Some(&'-') => {
                    while self.rest.peek().is_some_and(|c| *c != '\n') {
                        self.take();
                    }
                }
                _ => {}
            }
            if depth == 0 {
                return Ok(());
            }
        }
        Err(SyntaxError { line: begun, what: "a block that never ends".into() })
    }

    fn skip_string(&mut self, quote: char) {
        while let Some(c) = self.take() {
            match c {
                '\\' => drop(self.take()),
                c if c == quote => return,
                _ => {}
            }
        }
    }
}
