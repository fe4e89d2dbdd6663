//! Tokens of an nginx configuration: quotes, escapes, comments, variables in braces, blocks of Lua.

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

/// Iterator over tokens.
pub(crate) struct Lexer<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    line: usize,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { rest: text.chars().peekable(), line: 1 }
    }

    /// Returns the current line, from 1.
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

    /// Returns the next token with its line; `None` at the end.
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
        Err(SyntaxError { line: begun, what: format!("the string that begins with {quote} never ends") })
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

    /// Reads what follows a backslash. nginx drops the backslash before quotes, backslashes, and the
    /// letters of white space, and keeps it before anything else.
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

    /// Skips a block of Lua, whose `{` has been read, including its `}`. Strings, long brackets
    /// (`[[ … ]]`, `[==[ … ]==]`), and comments may contain braces and quotes.
    pub(crate) fn skip_lua(&mut self) -> Result<(), SyntaxError> {
        let begun = self.line;
        let mut depth = 1_usize;
        while let Some(c) = self.take() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                quote @ ('"' | '\'') => self.skip_string(quote),
                '[' => {
                    if let Some(level) = self.long_bracket() {
                        self.skip_long_bracket(level);
                    }
                }
                '-' if self.rest.peek() == Some(&'-') => {
                    self.take();
                    self.skip_comment();
                }
                _ => {}
            }
            if depth == 0 {
                return Ok(());
            }
        }
        Err(SyntaxError { line: begun, what: "the block never ends".into() })
    }

    /// Skips a comment of Lua, whose `--` has been read: to the end of the line, or a long bracket.
    fn skip_comment(&mut self) {
        if self.rest.peek() == Some(&'[') {
            self.take();
            if let Some(level) = self.long_bracket() {
                self.skip_long_bracket(level);
                return;
            }
        }
        while self.rest.peek().is_some_and(|c| *c != '\n') {
            self.take();
        }
    }

    /// Reads the rest of `[==[`, whose first bracket has been read, and returns its level. What is not a
    /// long bracket is not consumed.
    fn long_bracket(&mut self) -> Option<usize> {
        let mut ahead = self.rest.clone();
        let mut level = 0;
        while ahead.peek() == Some(&'=') {
            ahead.next();
            level += 1;
        }
        if ahead.next() != Some('[') {
            return None;
        }
        self.rest = ahead;
        Some(level)
    }

    /// Skips the content of a long bracket and its `]==]`.
    fn skip_long_bracket(&mut self, level: usize) {
        let mut equals: Option<usize> = None;
        while let Some(c) = self.take() {
            equals = match (c, equals) {
                (']', Some(count)) if count == level => return,
                (']', _) => Some(0),
                ('=', Some(count)) => Some(count + 1),
                _ => None,
            };
        }
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
