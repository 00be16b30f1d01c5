//! Where nodes stand: walks over the words of the query in the order in which its tree is walked. The parser's crate keeps no
//! positions. A walk that loses its way gives wrong positions, and nothing worse.

use super::tokens::{Class, Token};

pub(super) struct Places<'a> {
    tokens: &'a [Token<'a>],
}

impl<'a> Places<'a> {
    pub(super) fn new(tokens: &'a [Token<'a>]) -> Self {
        Places { tokens }
    }

    fn peek(&self) -> Option<&'a Token<'a>> {
        self.tokens.first()
    }

    fn peek_is(&self, text: &str) -> bool {
        self.peek().is_some_and(|token| token.is(text))
    }

    fn step(&mut self) {
        self.tokens = self.tokens.get(1..).unwrap_or_default();
    }

    fn skip(&mut self, text: &str) -> bool {
        let there = self.peek_is(text);
        if there {
            self.step();
        }
        there
    }

    /// Of the next word; a plus in front of an expression is no node, and is skipped.
    pub(super) fn here(&mut self) -> usize {
        while self.skip("+") {}
        self.peek().map_or(0, |token| token.position)
    }

    /// Past a number, with its sign.
    pub(super) fn number(&mut self) {
        while self.skip("-") || self.skip("+") {}
        self.step();
    }

    pub(super) fn one(&mut self) {
        self.step();
    }

    /// Past `name{...}`, and what follows a selector.
    pub(super) fn selector(&mut self) {
        if self.peek().is_some_and(|token| token.class == Class::Word) {
            self.step();
        }
        self.brackets("{");
        self.modifiers();
    }

    /// Past one bracket and all that is in it.
    fn brackets(&mut self, opening: &str) {
        if !self.peek_is(opening) {
            return;
        }
        let mut open = 0_usize;
        while let Some(token) = self.peek() {
            self.step();
            match token.text {
                "(" | "[" | "{" if token.class == Class::Symbol => open += 1,
                ")" | "]" | "}" if token.class == Class::Symbol => open = open.saturating_sub(1),
                _ => {}
            }
            if open == 0 {
                return;
            }
        }
    }

    /// Past ranges, `offset` and `@`.
    pub(super) fn modifiers(&mut self) {
        loop {
            if self.peek_is("[") {
                self.brackets("[");
            } else if self.skip("offset") {
                self.number();
            } else if self.skip("@") {
                let word = self.peek().is_some_and(|token| token.class == Class::Word);
                self.number();
                if word {
                    self.brackets("(");
                }
            } else {
                return;
            }
        }
    }

    pub(super) fn open(&mut self) {
        self.skip("(");
    }

    pub(super) fn comma(&mut self) {
        self.skip(",");
    }

    pub(super) fn close(&mut self) {
        self.skip(")");
    }

    /// Past `by (...)` and `without (...)`.
    pub(super) fn grouping(&mut self) {
        if self.skip("by") || self.skip("without") {
            self.brackets("(");
        }
    }

    /// Past an operator with `bool`, `on (...)`, `group_left (...)`.
    pub(super) fn operator(&mut self) {
        self.step();
        loop {
            if self.skip("bool") {
                continue;
            }
            if !["on", "ignoring", "group_left", "group_right"].iter().any(|word| self.skip(word)) {
                return;
            }
            self.brackets("(");
        }
    }
}
