//! Regular expressions of JSON Schema's `pattern`: those of ECMA-262 with the flag `u`, by backtracking within a budget of steps.
//!
//! Out of scope, and refused rather than overlooked: look-behind, `\p{..}`, named back-references, flags. Linear-time crates know no
//! look-ahead, which the patterns that schema libraries generate (for e-mail addresses for one) have.

/// What one match may cost.
const STEPS_MAX: u32 = 1_000_000;
/// Groups within groups, and repetitions of a group: what is kept on the stack.
const DEPTH_MAX: usize = 600;
/// Characters of a pattern.
const CHARS_MAX: usize = 10_000;

/// A pattern that was read.
#[derive(Debug)]
pub struct Pattern {
    root: Node,
    groups: usize,
}

/// Why a pattern cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is no regular expression.
    #[error("is no regular expression")]
    Syntax,
    /// It has what is out of scope.
    #[error("has something that is not supported: look-behind, \\p or \\k")]
    Unsupported,
    /// A match costs too much.
    #[error("takes too long, or is nested too deeply")]
    TooHard,
}

#[derive(Debug)]
enum Node {
    Set(Set),
    Start,
    End,
    WordEdge { is: bool },
    Group(Box<Node>, Option<usize>),
    Seq(Vec<Node>),
    Alt(Vec<Node>),
    Repeat { node: Box<Node>, least: usize, most: usize, greedy: bool },
    Ahead { node: Box<Node>, is: bool },
    Back(usize),
}

#[derive(Debug, Default)]
struct Set {
    negated: bool,
    items: Vec<Item>,
}

#[derive(Clone, Copy, Debug)]
enum Item {
    Range(char, char),
    Class(char),
    /// A dot: all but the ends of lines.
    Dot,
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn is_line_end(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{2028}' | '\u{2029}')
}

impl Item {
    fn has(self, c: char) -> bool {
        match self {
            Self::Range(first, last) => (first..=last).contains(&c),
            Self::Dot => !is_line_end(c),
            Self::Class(class) => {
                let is = match class.to_ascii_lowercase() {
                    'd' => c.is_ascii_digit(),
                    'w' => is_word(c),
                    _ => c.is_whitespace() && c != '\u{85}' || c == '\u{feff}',
                };
                is == class.is_ascii_lowercase()
            }
        }
    }
}

impl Set {
    fn has(&self, c: char) -> bool {
        self.items.iter().any(|item| item.has(c)) != self.negated
    }
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// It is no regular expression, or has what is not supported.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let mut reader = Reader { chars: text.chars().collect(), at: 0, groups: 0, depth: 0 };
        if reader.chars.len() > CHARS_MAX {
            return Err(PatternError::TooHard);
        }
        let root = reader.alternatives()?;
        if reader.at < reader.chars.len() {
            return Err(PatternError::Syntax);
        }
        Ok(Self { root, groups: reader.groups })
    }

    /// Whether the text has a match, anywhere.
    ///
    /// # Errors
    /// To find out would cost too much.
    pub fn is_found_in(&self, text: &str) -> Result<bool, PatternError> {
        let text: Vec<char> = text.chars().collect();
        let mut matcher = Matcher { text: &text, groups: vec![None; self.groups], steps: 0, depth: 0 };
        for start in 0..=text.len() {
            if matcher.run(&self.root, start, &mut |_, _| Ok(true))? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

struct Reader {
    chars: Vec<char>,
    at: usize,
    groups: usize,
    depth: usize,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Result<char, PatternError> {
        let c = self.peek().ok_or(PatternError::Syntax)?;
        self.at += 1;
        Ok(c)
    }

    fn eat(&mut self, text: &str) -> bool {
        let found = self.chars[self.at..].iter().copied().take(text.len()).eq(text.chars());
        if found {
            self.at += text.len();
        }
        found
    }

    fn alternatives(&mut self) -> Result<Node, PatternError> {
        let mut all = vec![self.sequence()?];
        while self.eat("|") {
            all.push(self.sequence()?);
        }
        Ok(if all.len() == 1 { all.swap_remove(0) } else { Node::Alt(all) })
    }

    fn sequence(&mut self) -> Result<Node, PatternError> {
        let mut parts = Vec::new();
        while self.peek().is_some_and(|c| c != '|' && c != ')') {
            let node = self.atom()?;
            parts.push(self.repeated(node)?);
        }
        Ok(Node::Seq(parts))
    }

    fn repeated(&mut self, node: Node) -> Result<Node, PatternError> {
        let (least, most) = match self.peek() {
            Some('*') => (0, usize::MAX),
            Some('+') => (1, usize::MAX),
            Some('?') => (0, 1),
            Some('{') => {
                self.at += 1;
                let least = self.number()?;
                let most = if !self.eat(",") {
                    least
                } else if self.peek() == Some('}') {
                    usize::MAX
                } else {
                    self.number()?
                };
                if self.peek() != Some('}') || most < least {
                    return Err(PatternError::Syntax);
                }
                (least, most)
            }
            _ => return Ok(node),
        };
        self.at += 1;
        if matches!(node, Node::Start | Node::End | Node::WordEdge { .. } | Node::Ahead { .. }) {
            return Err(PatternError::Syntax);
        }
        let greedy = !self.eat("?");
        Ok(Node::Repeat { node: Box::new(node), least, most, greedy })
    }

    fn number(&mut self) -> Result<usize, PatternError> {
        let mut digits = String::new();
        while let Some(c) = self.peek().filter(char::is_ascii_digit) {
            digits.push(c);
            self.at += 1;
        }
        if digits.len() > 9 { Err(PatternError::TooHard) } else { digits.parse().map_err(|_| PatternError::Syntax) }
    }

    fn atom(&mut self) -> Result<Node, PatternError> {
        match self.next()? {
            '^' => Ok(Node::Start),
            '$' => Ok(Node::End),
            '.' => Ok(Node::Set(Set { negated: false, items: vec![Item::Dot] })),
            '(' => self.group(),
            '[' => self.set().map(Node::Set),
            '\\' => self.escape(),
            '*' | '+' | '?' | '{' | '}' | ']' | ')' => Err(PatternError::Syntax),
            c => Ok(one(c)),
        }
    }

    fn group(&mut self) -> Result<Node, PatternError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX / 4 {
            return Err(PatternError::TooHard);
        }
        if self.eat("?<=") || self.eat("?<!") {
            return Err(PatternError::Unsupported);
        }
        let node = if self.eat("?=") || self.eat("?!") {
            let is = self.chars[self.at - 1] == '=';
            Node::Ahead { node: Box::new(self.alternatives()?), is }
        } else if self.eat("?:") {
            Node::Group(Box::new(self.alternatives()?), None)
        } else {
            if self.eat("?<") {
                while self.next()? != '>' {}
            } else if self.peek() == Some('?') {
                return Err(PatternError::Syntax);
            }
            let number = self.groups;
            self.groups += 1;
            Node::Group(Box::new(self.alternatives()?), Some(number))
        };
        self.depth -= 1;
        if self.eat(")") { Ok(node) } else { Err(PatternError::Syntax) }
    }

    fn escape(&mut self) -> Result<Node, PatternError> {
        match self.peek().ok_or(PatternError::Syntax)? {
            'b' | 'B' => Ok(Node::WordEdge { is: self.next()? == 'b' }),
            'k' => Err(PatternError::Unsupported),
            '1'..='9' => Ok(Node::Back(self.number()? - 1)),
            _ => self.escaped().map(|item| Node::Set(Set { negated: false, items: vec![item] })),
        }
    }

    /// What stands after a backslash, within a class too.
    fn escaped(&mut self) -> Result<Item, PatternError> {
        let c = match self.next()? {
            class @ ('d' | 'D' | 'w' | 'W' | 's' | 'S') => return Ok(Item::Class(class)),
            'p' | 'P' => return Err(PatternError::Unsupported),
            't' => '\t',
            'n' => '\n',
            'r' => '\r',
            'f' => '\u{c}',
            'v' => '\u{b}',
            '0' => '\0',
            'x' => self.hex(2)?,
            'c' => match self.next()? {
                c if c.is_ascii_alphabetic() => char::from(c as u8 % 32),
                _ => return Err(PatternError::Syntax),
            },
            'u' if self.eat("{") => {
                let digits: String = std::iter::from_fn(|| self.next().ok().filter(|c| *c != '}')).take(9).collect();
                u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32).ok_or(PatternError::Syntax)?
            }
            'u' => self.hex(4)?,
            c if "^$\\.*+?()[]{}|/-".contains(c) => c,
            // Schemas escape more than they must.
            c if !c.is_ascii_alphanumeric() => c,
            _ => return Err(PatternError::Syntax),
        };
        Ok(Item::Range(c, c))
    }

    fn hex(&mut self, digits: usize) -> Result<char, PatternError> {
        let mut read = || {
            let text: String = (0..digits).map(|_| self.next()).collect::<Result<_, _>>()?;
            u32::from_str_radix(&text, 16).map_err(|_| PatternError::Syntax)
        };
        let first = read()?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first).ok_or(PatternError::Syntax);
        }
        // A pair of surrogates is one character.
        if !self.eat("\\u") {
            return Err(PatternError::Syntax);
        }
        let mut read = || {
            let text: String = (0..digits).map(|_| self.next()).collect::<Result<_, _>>()?;
            u32::from_str_radix(&text, 16).map_err(|_| PatternError::Syntax)
        };
        let second = read()?;
        let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400).ok_or(PatternError::Syntax)?;
        char::from_u32(0x10000 + (first - 0xd800) * 0x400 + low).ok_or(PatternError::Syntax)
    }

    fn set(&mut self) -> Result<Set, PatternError> {
        let mut set = Set { negated: self.eat("^"), items: Vec::new() };
        while !self.eat("]") {
            let first = self.member()?;
            let range = self.peek() == Some('-') && self.chars.get(self.at + 1).is_some_and(|c| *c != ']');
            if !range {
                set.items.push(first);
                continue;
            }
            self.at += 1;
            match (first, self.member()?) {
                (Item::Range(a, _), Item::Range(b, _)) if a <= b => set.items.push(Item::Range(a, b)),
                _ => return Err(PatternError::Syntax),
            }
        }
        Ok(set)
    }

    fn member(&mut self) -> Result<Item, PatternError> {
        match self.next()? {
            '\\' if self.eat("b") => Ok(Item::Range('\u{8}', '\u{8}')),
            '\\' => self.escaped(),
            c => Ok(Item::Range(c, c)),
        }
    }
}

fn one(c: char) -> Node {
    Node::Set(Set { negated: false, items: vec![Item::Range(c, c)] })
}

type Found = Result<bool, PatternError>;
/// What is to match after a node, from a place in the text.
type Then<'t> = &'t mut dyn FnMut(&mut Matcher<'_>, usize) -> Found;

struct Matcher<'t> {
    text: &'t [char],
    groups: Vec<Option<(usize, usize)>>,
    steps: u32,
    depth: usize,
}

impl Matcher<'_> {
    fn run(&mut self, node: &Node, at: usize, then: Then<'_>) -> Found {
        self.steps += 1;
        self.depth += 1;
        if self.steps > STEPS_MAX || self.depth > DEPTH_MAX {
            return Err(PatternError::TooHard);
        }
        let found = self.node(node, at, then);
        self.depth -= 1;
        found
    }

    fn node(&mut self, node: &Node, at: usize, then: Then<'_>) -> Found {
        match node {
            Node::Set(set) => match self.text.get(at) {
                Some(c) if set.has(*c) => then(self, at + 1),
                _ => Ok(false),
            },
            Node::Start => {
                if at == 0 {
                    then(self, at)
                } else {
                    Ok(false)
                }
            }
            Node::End => {
                if at == self.text.len() {
                    then(self, at)
                } else {
                    Ok(false)
                }
            }
            Node::WordEdge { is } => {
                let word = |i: Option<usize>| i.and_then(|i| self.text.get(i)).is_some_and(|c| is_word(*c));
                let edge = word(at.checked_sub(1)) != word(Some(at));
                if edge == *is { then(self, at) } else { Ok(false) }
            }
            Node::Seq(parts) => self.sequence(parts, at, then),
            Node::Alt(all) => {
                for one in all {
                    if self.run(one, at, then)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Node::Group(inner, None) => self.run(inner, at, then),
            Node::Group(inner, Some(number)) => {
                let before = self.groups[*number];
                let found = self.run(inner, at, &mut |matcher, end| {
                    let outer = matcher.groups[*number].replace((at, end));
                    let found = then(matcher, end)?;
                    if !found {
                        matcher.groups[*number] = outer;
                    }
                    Ok(found)
                })?;
                if !found {
                    self.groups[*number] = before;
                }
                Ok(found)
            }
            Node::Ahead { node, is } => {
                let there = self.run(node, at, &mut |_, _| Ok(true))?;
                if there == *is { then(self, at) } else { Ok(false) }
            }
            Node::Back(number) => match self.groups.get(*number).copied() {
                None => Err(PatternError::Syntax),
                Some(None) => then(self, at),
                Some(Some((from, to))) => {
                    let end = at + (to - from);
                    if self.text.get(at..end) == Some(&self.text[from..to]) { then(self, end) } else { Ok(false) }
                }
            },
            Node::Repeat { node, least, most, greedy } => match &**node {
                Node::Set(set) => self.characters(set, (*least, *most), *greedy, at, then),
                inner => self.repeat(inner, (*least, *most), *greedy, at, then),
            },
        }
    }

    fn sequence(&mut self, parts: &[Node], at: usize, then: Then<'_>) -> Found {
        match parts.split_first() {
            None => then(self, at),
            Some((first, [])) => self.run(first, at, then),
            Some((first, rest)) => self.run(first, at, &mut |matcher, end| matcher.sequence(rest, end, then)),
        }
    }

    /// Repeats a single character: without the stack, so that texts may be long.
    fn characters(&mut self, set: &Set, (least, most): (usize, usize), greedy: bool, at: usize, then: Then<'_>) -> Found {
        let run = self.text[at..].iter().take(most).take_while(|c| set.has(**c)).count();
        self.steps = self.steps.saturating_add(run as u32 / 8);
        if run < least {
            return Ok(false);
        }
        for n in 0..=run - least {
            self.steps += 1;
            if self.steps > STEPS_MAX {
                return Err(PatternError::TooHard);
            }
            if then(self, at + if greedy { run - n } else { least + n })? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn repeat(&mut self, node: &Node, (least, most): (usize, usize), greedy: bool, at: usize, then: Then<'_>) -> Found {
        if least == 0 && !greedy && then(self, at)? {
            return Ok(true);
        }
        if most > 0 {
            let left = (least.saturating_sub(1), if most == usize::MAX { most } else { most - 1 });
            let more = self.run(node, at, &mut |matcher, end| {
                // An empty repetition would go on for ever.
                if end == at && least == 0 { Ok(false) } else { matcher.repeat(node, left, greedy, end, then) }
            })?;
            if more {
                return Ok(true);
            }
        }
        if least == 0 && greedy { then(self, at) } else { Ok(false) }
    }
}

#[cfg(test)]
#[path = "pattern_tests.rs"]
mod tests;
