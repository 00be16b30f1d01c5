//! Text to a tree.

use super::functions;

/// Nobody nests deeper by hand, and reading is recursive.
const DEEPEST: usize = 40;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Text(String),
    /// A pipeline whose value is written, unless it declares a variable.
    Action(Pipeline),
    If {
        arms: Vec<(Pipeline, Vec<Node>)>,
        otherwise: Vec<Node>,
    },
    With {
        pipeline: Pipeline,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
    Range {
        variables: Vec<String>,
        pipeline: Pipeline,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
}

/// Commands, each of which gets the value of the one before as its last argument.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pipeline {
    pub(super) variable: Option<Assignment>,
    pub(super) commands: Vec<Vec<Term>>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Assignment {
    pub(super) name: String,
    /// `:=` makes a new one.
    pub(super) declares: bool,
}

/// With the fields that are taken of it: `.Labels.job`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Term {
    pub(super) root: Root,
    pub(super) fields: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Root {
    Dot,
    Variable(String),
    Function(String),
    Text(String),
    Whole(i64),
    Number(f64),
    Bool(bool),
    Nil,
    Pipeline(Box<Pipeline>),
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    /// Blanks part terms: `.a .b` are two, `.a.b` is one.
    Blank,
    /// Directly behind a term or alone: `.` and the field's name, which may be empty.
    Field(String),
    Variable(String),
    Word(String),
    Text(String),
    Number(String),
    Symbol(&'static str),
}

enum Piece {
    Text(String),
    Action(Vec<Token>),
}

pub(super) fn template(text: &str) -> Result<Vec<Node>, String> {
    let pieces = pieces(text)?;
    let mut reader = Reader { pieces: pieces.into_iter(), variables: Vec::new(), depth: 0 };
    for name in ["labels", "externalLabels", "externalURL", "value", ""] {
        reader.variables.push(name.to_owned());
    }
    let (nodes, end) = reader.nodes()?;
    match end {
        End::Text => Ok(nodes),
        End::Word => Err("unexpected {{end}}".to_owned()),
        End::Else(_) => Err("unexpected {{else}}".to_owned()),
    }
}

/// Text and actions in turn, blanks trimmed where `{{-` and `-}}` say so.
fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut trim = false;
    while let Some((before, inside)) = rest.split_once("{{") {
        let mut before = if trim { before.trim_start() } else { before };
        let mut inside = inside;
        if let Some(behind) = inside.strip_prefix('-').filter(|behind| behind.starts_with(char::is_whitespace)) {
            before = before.trim_end();
            inside = behind;
        }
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        let start = inside.trim_start();
        if let Some(comment) = start.strip_prefix("/*") {
            let (_, behind) = comment.split_once("*/").ok_or("unclosed comment")?;
            let behind = behind.trim_start();
            trim = behind.starts_with('-');
            rest = behind.trim_start_matches('-').strip_prefix("}}").ok_or("comment ends before closing delimiter")?;
            continue;
        }
        let (tokens, behind, trims) = tokens(inside)?;
        pieces.push(Piece::Action(tokens));
        trim = trims;
        rest = behind;
    }
    let rest = if trim { rest.trim_start() } else { rest };
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}

/// The words of an action, what is behind it, and whether that is trimmed.
fn tokens(text: &str) -> Result<(Vec<Token>, &str, bool), String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        if let Some(behind) = rest.strip_prefix("}}") {
            return Ok((tokens, behind, false));
        }
        let trimmed = rest.trim_start();
        if trimmed.len() < rest.len() {
            if let Some(behind) = trimmed.strip_prefix("-}}") {
                return Ok((tokens, behind, true));
            }
            tokens.push(Token::Blank);
            rest = trimmed;
            continue;
        }
        let Some(first) = rest.chars().next() else { return Err("unclosed action".to_owned()) };
        let (token, behind) = match first {
            '"' => quoted(rest)?,
            '`' => {
                let (text, behind) =
                    rest.get(1..).and_then(|rest| rest.split_once('`')).ok_or("unterminated raw quoted string")?;
                (Token::Text(text.to_owned()), behind)
            }
            '.' if !rest.get(1..).unwrap_or_default().starts_with(|c: char| c.is_ascii_digit()) => {
                let (name, behind) = word(rest.get(1..).unwrap_or_default());
                (Token::Field(name.to_owned()), behind)
            }
            '$' => {
                let (name, behind) = word(rest.get(1..).unwrap_or_default());
                (Token::Variable(name.to_owned()), behind)
            }
            c if c.is_alphabetic() || c == '_' => {
                let (name, behind) = word(rest);
                (Token::Word(name.to_owned()), behind)
            }
            c if c.is_ascii_digit() || c == '-' || c == '+' || c == '.' => {
                let numeric = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '-');
                let end = rest.find(|c| !numeric(c)).unwrap_or(rest.len());
                let (number, behind) = rest.split_at(end);
                (Token::Number(number.to_owned()), behind)
            }
            _ => {
                let symbols = [":=", "=", "|", "(", ")", ","];
                let symbol = symbols.into_iter().find(|symbol| rest.starts_with(symbol));
                let symbol = symbol.ok_or_else(|| format!("unexpected {first:?} in an action"))?;
                (Token::Symbol(symbol), rest.get(symbol.len()..).unwrap_or_default())
            }
        };
        tokens.push(token);
        rest = behind;
    }
}

fn word(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len()))
}

/// A text in double quotes, with Go's escapes.
fn quoted(text: &str) -> Result<(Token, &str), String> {
    let mut value = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return Ok((Token::Text(value), text.get(index + 1..).unwrap_or_default())),
            '\n' => break,
            '\\' => {
                let escaped = characters.next().map(|(_, escaped)| escaped);
                let digits = match escaped {
                    Some('x') => 2,
                    Some('u') => 4,
                    Some('U') => 8,
                    _ => 0,
                };
                value.push(match escaped {
                    Some('n') => '\n',
                    Some('t') => '\t',
                    Some('r') => '\r',
                    Some('a') => '\u{7}',
                    Some('b') => '\u{8}',
                    Some('f') => '\u{c}',
                    Some('v') => '\u{b}',
                    Some(same @ ('\\' | '"' | '\'')) => same,
                    _ if digits > 0 => {
                        let code: String = characters.by_ref().take(digits).map(|(_, digit)| digit).collect();
                        let code = u32::from_str_radix(&code, 16).ok().and_then(char::from_u32);
                        code.ok_or("invalid escape in a quoted string")?
                    }
                    _ => return Err("invalid escape in a quoted string".to_owned()),
                });
            }
            other => value.push(other),
        }
    }
    Err("unterminated quoted string".to_owned())
}

enum End {
    Text,
    Word,
    /// With what follows the word: nothing, or `if` and its pipeline.
    Else(Vec<Token>),
}

struct Reader<I> {
    pieces: I,
    /// That there are at this place.
    variables: Vec<String>,
    depth: usize,
}

impl<I: Iterator<Item = Piece>> Reader<I> {
    fn nodes(&mut self) -> Result<(Vec<Node>, End), String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(format!("nested deeper than {DEEPEST} levels"));
        }
        let mut nodes = Vec::new();
        let end = loop {
            let Some(piece) = self.pieces.next() else { break End::Text };
            let tokens = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Piece::Action(tokens) => tokens,
            };
            let mut tokens: &[Token] = &tokens;
            skip_blanks(&mut tokens);
            let keyword = match tokens.first() {
                Some(Token::Word(word)) => word.clone(),
                _ => String::new(),
            };
            let rest = tokens.get(1..).unwrap_or_default();
            match keyword.as_str() {
                "end" => break End::Word,
                "else" => break End::Else(rest.to_vec()),
                "if" => nodes.push(self.choice(rest)?),
                "with" => nodes.push(self.with(rest)?),
                "range" => nodes.push(self.range(rest)?),
                "define" | "template" | "block" | "break" | "continue" => {
                    return Err(format!("`{keyword}` is not supported"));
                }
                _ => nodes.push(Node::Action(self.whole(tokens)?)),
            }
        };
        self.depth -= 1;
        Ok((nodes, end))
    }

    /// Behind `if`, to its `end`.
    fn choice(&mut self, tokens: &[Token]) -> Result<Node, String> {
        let before = self.variables.len();
        let mut arms = Vec::new();
        let mut tokens = tokens.to_vec();
        let otherwise = loop {
            let pipeline = self.whole(&tokens)?;
            let (body, end) = self.nodes()?;
            arms.push((pipeline, body));
            match end {
                End::Text => return Err("unexpected end: {{end}} is missing".to_owned()),
                End::Word => break Vec::new(),
                End::Else(rest) => {
                    let mut rest: &[Token] = &rest;
                    skip_blanks(&mut rest);
                    match rest.first() {
                        None => break self.otherwise()?,
                        Some(Token::Word(word)) if word == "if" => {
                            tokens = rest.get(1..).unwrap_or_default().to_vec();
                        }
                        Some(_) => return Err("unexpected words behind `else`".to_owned()),
                    }
                }
            }
        };
        self.variables.truncate(before);
        Ok(Node::If { arms, otherwise })
    }

    fn otherwise(&mut self) -> Result<Vec<Node>, String> {
        match self.nodes()? {
            (nodes, End::Word) => Ok(nodes),
            (_, End::Text) => Err("unexpected end: {{end}} is missing".to_owned()),
            (_, End::Else(_)) => Err("a second {{else}}".to_owned()),
        }
    }

    fn with(&mut self, tokens: &[Token]) -> Result<Node, String> {
        let before = self.variables.len();
        let pipeline = self.whole(tokens)?;
        let (body, otherwise) = self.bodies()?;
        self.variables.truncate(before);
        Ok(Node::With { pipeline, body, otherwise })
    }

    fn bodies(&mut self) -> Result<(Vec<Node>, Vec<Node>), String> {
        match self.nodes()? {
            (body, End::Word) => Ok((body, Vec::new())),
            (body, End::Else(rest)) if rest.iter().all(|token| *token == Token::Blank) => Ok((body, self.otherwise()?)),
            (_, End::Else(_)) => Err("unexpected words behind `else`".to_owned()),
            (_, End::Text) => Err("unexpected end: {{end}} is missing".to_owned()),
        }
    }

    fn range(&mut self, tokens: &[Token]) -> Result<Node, String> {
        let before = self.variables.len();
        let mut variables = Vec::new();
        let mut rest = tokens;
        if tokens.contains(&Token::Symbol(":=")) {
            loop {
                skip_blanks(&mut rest);
                match rest.split_first() {
                    Some((Token::Variable(name), behind)) if variables.len() < 2 => {
                        variables.push(name.clone());
                        rest = behind;
                    }
                    Some((Token::Symbol(","), behind)) => rest = behind,
                    Some((Token::Symbol(":="), behind)) => {
                        rest = behind;
                        break;
                    }
                    _ => return Err("expected `range $key, $value := ...`".to_owned()),
                }
            }
        }
        let pipeline = self.whole(rest)?;
        self.variables.extend(variables.iter().cloned());
        let (body, otherwise) = self.bodies()?;
        self.variables.truncate(before);
        Ok(Node::Range { variables, pipeline, body, otherwise })
    }

    /// A pipeline, and nothing behind it.
    fn whole(&mut self, mut tokens: &[Token]) -> Result<Pipeline, String> {
        let pipeline = self.pipeline(&mut tokens, 0)?;
        if tokens.is_empty() { Ok(pipeline) } else { Err("unexpected `)`".to_owned()) }
    }

    fn pipeline(&mut self, tokens: &mut &[Token], depth: usize) -> Result<Pipeline, String> {
        if depth > DEEPEST {
            return Err(format!("nested deeper than {DEEPEST} levels"));
        }
        skip_blanks(tokens);
        let mut variable = None;
        if let Some(Token::Variable(name)) = tokens.first() {
            let mut behind = tokens.get(1..).unwrap_or_default();
            skip_blanks(&mut behind);
            if let Some(Token::Symbol(symbol @ (":=" | "="))) = behind.first() {
                let declares = *symbol == ":=";
                if !declares {
                    self.known(name)?;
                }
                variable = Some(Assignment { name: name.clone(), declares });
                *tokens = behind.get(1..).unwrap_or_default();
            }
        }
        let mut commands = vec![Vec::new()];
        loop {
            skip_blanks(tokens);
            let Some(token) = tokens.first() else { break };
            match token {
                Token::Symbol(")") => break,
                Token::Symbol("|") => {
                    *tokens = tokens.get(1..).unwrap_or_default();
                    commands.push(Vec::new());
                }
                _ => {
                    let term = self.term(tokens, depth)?;
                    if let Some(command) = commands.last_mut() {
                        command.push(term);
                    }
                }
            }
        }
        if commands.iter().any(Vec::is_empty) {
            return Err("missing value for command".to_owned());
        }
        let callable = |term: Option<&Term>| matches!(term, Some(Term { root: Root::Function(_), .. }));
        for (index, command) in commands.iter().enumerate() {
            if !callable(command.first()) && (index > 0 || command.len() > 1) {
                return Err("only a function takes arguments".to_owned());
            }
        }
        if let Some(Assignment { name, declares: true }) = &variable {
            self.variables.push(name.clone());
        }
        Ok(Pipeline { variable, commands })
    }

    fn known(&self, name: &str) -> Result<(), String> {
        if self.variables.iter().any(|known| known == name) {
            return Ok(());
        }
        Err(format!("undefined variable \"${name}\""))
    }

    fn term(&mut self, tokens: &mut &[Token], depth: usize) -> Result<Term, String> {
        let Some((first, behind)) = tokens.split_first() else { return Err("missing value for command".to_owned()) };
        *tokens = behind;
        let mut fields = Vec::new();
        let root = match first {
            Token::Field(name) => {
                if !name.is_empty() {
                    fields.push(name.clone());
                }
                Root::Dot
            }
            Token::Variable(name) => {
                self.known(name)?;
                Root::Variable(name.clone())
            }
            Token::Text(text) => Root::Text(text.clone()),
            Token::Number(text) => number(text)?,
            Token::Word(word) => match word.as_str() {
                "true" => Root::Bool(true),
                "false" => Root::Bool(false),
                "nil" => Root::Nil,
                name if functions::is_one(name) => Root::Function(name.to_owned()),
                name => return Err(format!("function {name:?} not defined")),
            },
            Token::Symbol("(") => {
                let pipeline = self.pipeline(tokens, depth + 1)?;
                match tokens.split_first() {
                    Some((Token::Symbol(")"), behind)) => *tokens = behind,
                    _ => return Err("unclosed left paren".to_owned()),
                }
                Root::Pipeline(Box::new(pipeline))
            }
            Token::Symbol(symbol) => return Err(format!("unexpected `{symbol}`")),
            Token::Blank => return Err("missing value for command".to_owned()),
        };
        while let Some((Token::Field(name), behind)) = tokens.split_first() {
            if name.is_empty() {
                return Err("unexpected `.`".to_owned());
            }
            fields.push(name.clone());
            *tokens = behind;
        }
        Ok(Term { root, fields })
    }
}

fn skip_blanks(tokens: &mut &[Token]) {
    while let Some((Token::Blank, behind)) = tokens.split_first() {
        *tokens = behind;
    }
}

fn number(text: &str) -> Result<Root, String> {
    let plain = text.replace('_', "");
    let unsigned = plain.trim_start_matches(['+', '-']);
    if let Some(digits) = unsigned.strip_prefix("0x").or_else(|| unsigned.strip_prefix("0X")) {
        let value = i64::from_str_radix(digits, 16).map_err(|_| format!("bad number syntax: {text:?}"))?;
        return Ok(Root::Whole(if plain.starts_with('-') { -value } else { value }));
    }
    if let Ok(value) = plain.parse::<i64>() {
        return Ok(Root::Whole(value));
    }
    plain.parse::<f64>().map(Root::Number).map_err(|_| format!("bad number syntax: {text:?}"))
}
