//! What a TypeScript source must keep before a parser outside of the sandbox looks at it.
//!
//! The parser guesses whether `(`, `<` or `?` begins a type or a value and takes its guess back, so
//! nested sources make its time and memory explode, and nothing stops it once it runs. This reads
//! the source once, as tokens, and bounds how deep brackets nest and how many `<` are open. It
//! must never see less nesting than the parser does: where a `/` could be a division or begin a
//! regular expression, and wherever else the two could read a source differently, it refuses.

/// What is wrong with a source, and at which byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) at: usize,
    pub(crate) why: &'static str,
}

const TOO_DEEP: &str = "brackets nest too deep here";
const TOO_MANY_ANGLES: &str = "too many `<` are open in this statement";
const UNBALANCED: &str = "this bracket closes nothing";
const UNCLOSED: &str = "this is never closed";
const AMBIGUOUS_SLASH: &str = "this `/` could be a division or begin a regular expression: \
     write it on the line of what is before it, in parentheses";
const ODD_CHARACTER: &str = "this character can stand in a text or a comment only";

/// Keywords after which a value begins.
const BEFORE_A_VALUE: &[&str] = &[
    "case",
    "default",
    "delete",
    "do",
    "else",
    "extends",
    "in",
    "instanceof",
    "new",
    "return",
    "throw",
    "typeof",
    "void",
];
/// Words that are a keyword in one place and a name in another.
const SOMETIMES_A_NAME: &[&str] = &["await", "of", "yield"];
/// Keywords whose parentheses are followed by a statement.
const BEFORE_A_HEAD: &[&str] = &["for", "if", "while", "with"];

/// What stands before a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// Something after which a value begins: a `/` begins a regular expression.
    Operator,
    /// The end of a value: a `/` is a division, unless a line begins with it.
    Value,
    /// Either.
    Unclear,
}

/// A bracket that is open.
#[derive(Debug, Clone, Copy)]
struct Open {
    at: usize,
    /// The bracket; `$` for a `${` and `` ` `` for the template around it.
    bracket: u8,
    /// Whether a statement follows its end.
    is_head: bool,
    /// How many `<` are open in it.
    angles: usize,
}

struct Scan<'a> {
    source: &'a str,
    at: usize,
    open: Vec<Open>,
    before: Before,
    /// Whether a line ended since the last token.
    new_line: bool,
    /// Whether the last token was a `.` or `#`: the next word is a name.
    name_follows: bool,
    /// Whether the last token was a keyword before a head.
    head_follows: bool,
    depth_max: usize,
    angles_max: usize,
}

/// Refuses what nests deeper than `depth_max` brackets or leaves more than `angles_max` `<` open.
pub(crate) fn check(source: &str, depth_max: usize, angles_max: usize) -> Result<(), Refused> {
    let outside = Open { at: 0, bracket: 0, is_head: false, angles: 0 };
    let mut scan = Scan {
        source,
        at: 0,
        open: vec![outside],
        before: Before::Operator,
        new_line: true,
        name_follows: false,
        head_follows: false,
        depth_max,
        angles_max,
    };
    if source.starts_with("#!") {
        scan.skip_line();
    }
    while scan.at < source.len() {
        scan.step()?;
    }
    match scan.open.as_slice() {
        [_] => Ok(()),
        [.., open] => Err(Refused { at: open.at, why: UNCLOSED }),
        [] => Err(Refused { at: source.len(), why: UNBALANCED }),
    }
}

impl Scan<'_> {
    fn rest(&self) -> &str {
        &self.source[self.at..]
    }

    fn refuse<T>(&self, why: &'static str) -> Result<T, Refused> {
        Err(Refused { at: self.at, why })
    }

    fn top(&mut self) -> &mut Open {
        self.open.last_mut().expect("what lies outside is never closed")
    }

    /// Reads one token, a stretch of white space, or a piece of a template.
    fn step(&mut self) -> Result<(), Refused> {
        if self.top().bracket == b'`' {
            return self.template();
        }
        let mut characters = self.rest().chars();
        let Some(first) = characters.next() else {
            return Ok(());
        };
        let second = characters.next();
        match first {
            '\n' | '\r' | '\u{2028}' | '\u{2029}' => {
                self.new_line = true;
                self.at += first.len_utf8();
                Ok(())
            }
            ' ' | '\t' | '\u{b}' | '\u{c}' | '\u{a0}' | '\u{feff}' | '\u{3000}' => {
                self.at += first.len_utf8();
                Ok(())
            }
            '/' => self.slash(second),
            '"' | '\'' => self.text(first),
            '`' => {
                self.push(b'`', false)?;
                self.at += 1;
                Ok(())
            }
            '(' | '[' | '{' => {
                let is_head = first == '(' && self.head_follows;
                self.push(first as u8, is_head)?;
                self.token(1, Before::Operator);
                Ok(())
            }
            ')' | ']' | '}' => self.close(first),
            '<' => self.angle(second),
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '$' => self.word(),
            _ if !first.is_ascii() && first.is_alphabetic() => self.word(),
            _ if first.is_ascii_punctuation() && first != '\\' => self.operator(first, second),
            _ => self.refuse(ODD_CHARACTER),
        }
    }

    /// Passes a token.
    fn token(&mut self, bytes: usize, before: Before) {
        self.at += bytes;
        self.before = before;
        self.new_line = false;
        self.name_follows = false;
        self.head_follows = false;
    }

    fn push(&mut self, bracket: u8, is_head: bool) -> Result<(), Refused> {
        if self.open.len() > self.depth_max {
            return self.refuse(TOO_DEEP);
        }
        self.open.push(Open { at: self.at, bracket, is_head, angles: 0 });
        Ok(())
    }

    fn close(&mut self, bracket: char) -> Result<(), Refused> {
        let open = *self.top();
        let (fits, before) = match (open.bracket, bracket) {
            (b'(', ')') if open.is_head => (true, Before::Operator),
            (b'(', ')') | (b'[', ']') => (true, Before::Value),
            // A block or an object; of a template the text goes on.
            (b'{' | b'$', '}') => (true, Before::Unclear),
            _ => (false, Before::Unclear),
        };
        if !fits {
            return self.refuse(UNBALANCED);
        }
        self.open.pop();
        self.token(1, before);
        Ok(())
    }

    fn angle(&mut self, second: Option<char>) -> Result<(), Refused> {
        if second != Some('=') {
            let angles_max = self.angles_max;
            let top = self.top();
            top.angles += 1;
            if top.angles > angles_max {
                return self.refuse(TOO_MANY_ANGLES);
            }
        }
        self.token(1, Before::Operator);
        Ok(())
    }

    fn operator(&mut self, first: char, second: Option<char>) -> Result<(), Refused> {
        let follows_value = self.before == Before::Value && !self.new_line;
        let unclear = self.before == Before::Unclear && !self.new_line;
        match (first, second) {
            (';', _) => {
                self.top().angles = 0;
                self.token(1, Before::Operator);
            }
            ('=', Some('>')) => self.token(2, Before::Operator),
            ('>', _) => {
                let top = self.top();
                top.angles = top.angles.saturating_sub(1);
                self.token(1, Before::Unclear);
            }
            // Behind a value these belong to it.
            ('+', Some('+')) | ('-', Some('-')) if follows_value => self.token(2, Before::Value),
            ('+', Some('+')) | ('-', Some('-')) if unclear => self.token(2, Before::Unclear),
            ('!', second) if second != Some('=') && follows_value => self.token(1, Before::Value),
            ('!', second) if second != Some('=') && unclear => self.token(1, Before::Unclear),
            ('.', Some('0'..='9')) => return self.word(),
            ('.', Some('.')) if self.rest().starts_with("...") => self.token(3, Before::Operator),
            ('.' | '#', _) => {
                self.token(1, Before::Operator);
                self.name_follows = true;
            }
            _ => self.token(1, Before::Operator),
        }
        Ok(())
    }

    /// A name, a keyword or a number.
    fn word(&mut self) -> Result<(), Refused> {
        let rest = self.rest();
        let is_number = rest.starts_with(|c: char| c.is_ascii_digit() || c == '.');
        let part = |c: char| {
            c.is_ascii_alphanumeric()
                || c == '_'
                || c == '$'
                || (!c.is_ascii() && c.is_alphanumeric())
                || (is_number && c == '.')
        };
        let end = rest.find(|c| !part(c)).unwrap_or(rest.len());
        let word = &rest[..end];
        let is_name = self.name_follows || is_number;
        let is_among = |words: &[&str]| !is_name && words.contains(&word);
        let before = match () {
            () if is_among(BEFORE_A_VALUE) => Before::Operator,
            () if is_among(SOMETIMES_A_NAME) => Before::Unclear,
            () => Before::Value,
        };
        // `for await (` is a head as well.
        let head = is_among(BEFORE_A_HEAD) || (self.head_follows && is_among(&["await"]));
        self.token(end, before);
        self.head_follows = head;
        Ok(())
    }

    fn slash(&mut self, second: Option<char>) -> Result<(), Refused> {
        match (second, self.before) {
            (Some('/'), _) => self.skip_line(),
            (Some('*'), _) => {
                let length =
                    self.rest().find("*/").ok_or(Refused { at: self.at, why: UNCLOSED })?;
                self.new_line |= self.rest()[..length].contains(LINE_ENDS);
                self.at += length + 2;
            }
            (_, Before::Operator) => return self.regular_expression(),
            (_, Before::Value) if !self.new_line => self.token(1, Before::Operator),
            _ => return self.refuse(AMBIGUOUS_SLASH),
        }
        Ok(())
    }

    fn skip_line(&mut self) {
        self.at += self.rest().find(LINE_ENDS).unwrap_or(self.rest().len());
    }

    fn text(&mut self, quote: char) -> Result<(), Refused> {
        let length = self.delimited(quote, false)?;
        self.token(length, Before::Value);
        Ok(())
    }

    fn regular_expression(&mut self) -> Result<(), Refused> {
        let length = self.delimited('/', true)?;
        self.token(length, Before::Value);
        Ok(())
    }

    /// The length of what begins and ends with `delimiter` on one line. In a regular expression a
    /// class hides its end.
    fn delimited(&self, delimiter: char, has_classes: bool) -> Result<usize, Refused> {
        let (mut escaped, mut in_class) = (false, false);
        for (at, character) in self.rest().char_indices().skip(1) {
            match character {
                '\n' | '\r' if !escaped || has_classes => break,
                '\u{2028}' | '\u{2029}' if has_classes => break,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '[' if has_classes => in_class = true,
                ']' if has_classes => in_class = false,
                _ if character == delimiter && !in_class => return Ok(at + delimiter.len_utf8()),
                _ => {}
            }
            // An escaped carriage return takes the line feed with it.
            if character == '\r' && self.rest()[at + 1..].starts_with('\n') {
                escaped = true;
            }
        }
        self.refuse(UNCLOSED)
    }

    /// The text of a template, up to its end or the next `${`.
    fn template(&mut self) -> Result<(), Refused> {
        let mut escaped = false;
        let mut end = None;
        for (at, character) in self.rest().char_indices() {
            match character {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '`' => {
                    end = Some((at, false));
                    break;
                }
                '$' if self.rest()[at + 1..].starts_with('{') => {
                    end = Some((at, true));
                    break;
                }
                _ => {}
            }
        }
        match end {
            None => Err(Refused { at: self.top().at, why: UNCLOSED }),
            Some((at, true)) => {
                self.at += at;
                self.push(b'$', false)?;
                self.token(2, Before::Operator);
                Ok(())
            }
            Some((at, false)) => {
                self.open.pop();
                self.token(at + 1, Before::Value);
                Ok(())
            }
        }
    }
}

const LINE_ENDS: [char; 4] = ['\n', '\r', '\u{2028}', '\u{2029}'];

#[cfg(test)]
mod tests {
    use super::*;

    /// The deepest nesting that a source is seen to have, or why it is refused.
    fn depth(source: &str) -> Result<usize, &'static str> {
        let deepest = (0..100).find(|max| check(source, *max, 10) != too_deep(source, *max));
        let deepest = deepest.expect("no source here is that deep");
        check(source, deepest, 10).map(|()| deepest).map_err(|refused| refused.why)
    }

    fn too_deep(source: &str, max: usize) -> Result<(), Refused> {
        match check(source, max, 10) {
            Err(refused) if refused.why == TOO_DEEP => Err(refused),
            _ => Err(Refused { at: usize::MAX, why: TOO_DEEP }),
        }
    }

    #[test]
    fn nesting_is_counted_in_code_and_nowhere_else() {
        for (source, expected) in [
            ("", 0),
            ("a", 0),
            ("f(x[1], { a: (1) })", 3),
            ("'((((' + \"))\" // ((((\n + /* {{{{ */ `((((`", 1),
            ("`a${f(`b${1}`)}c`", 5),
            ("x = /[(/]((/g; y(1)", 1),
            ("a = (b + c) / 2; d = (e) / f(1)", 1),
            ("if (a) /[)]/.test(b)", 1),
            ("for await (const a of b) /[(]/.test(a)", 1),
            ("x.if(a) / (2)", 1),
            ("i++ / (2); a! / (3); a[0] / 4", 1),
            ("return /[(]/", 0),
            ("const f = <T,>(x: T): Array<T> => [x];", 1),
            ("'a\\\n((' + '\\'('", 0),
        ] {
            assert_eq!(depth(source), Ok(expected), "{source}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for source in
            ["} / 2", "x = {} / 2", "a\n/b/c", "a > /b/", "await / 2", "x\n  /y", "i\n++ /a"]
        {
            let refused = check(source, 9, 9).expect_err(source);
            assert!([AMBIGUOUS_SLASH, UNBALANCED, UNCLOSED].contains(&refused.why), "{source}");
        }
        for source in ["\\u0069f (a) /)/", "if\u{200b}(a)", "a\u{301}(b)", "a\0b"] {
            assert_eq!(check(source, 9, 9).map_err(|it| it.why), Err(ODD_CHARACTER), "{source}");
        }
    }

    #[test]
    fn brackets_that_do_not_fit_are_refused_where_they_stand() {
        for (source, at, why) in [
            ("(]", 1, UNBALANCED),
            (")", 0, UNBALANCED),
            ("f(", 1, UNCLOSED),
            ("`${a", 1, UNCLOSED),
            ("`a", 0, UNCLOSED),
            ("'a", 0, UNCLOSED),
            ("/a", 0, UNCLOSED),
            ("/* a", 0, UNCLOSED),
            ("'\n'", 0, UNCLOSED),
            ("(((((((((((", 9, TOO_DEEP),
        ] {
            assert_eq!(check(source, 9, 9), Err(Refused { at, why }), "{source}");
        }
    }

    #[test]
    fn open_angles_are_counted_by_statement() {
        assert_eq!(check(&"a<b;".repeat(99), 9, 9), Ok(()));
        assert_eq!(check(&"f<A<B>>(1),".repeat(99), 9, 9), Ok(()));
        assert_eq!(check(&"a<b,".repeat(10), 9, 9).map_err(|it| it.why), Err(TOO_MANY_ANGLES));
        assert_eq!(check(&"a<=b,".repeat(99), 9, 9), Ok(()));
    }
}
