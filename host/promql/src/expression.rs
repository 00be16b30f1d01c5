//! The tree of a query, as the evaluator wants it: matchers and durations resolved, every node with its place in the text.

use quarterdeck_model::series::query::Matcher;

/// A query that was read. Holds its text.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    pub(crate) text: String,
    pub(crate) root: Node,
}

impl Expression {
    /// The query as it was given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Matchers of every selector in the query, in the order of the text: what it may read.
    pub fn selectors(&self) -> Vec<&[Matcher]> {
        let mut found = Vec::new();
        self.root.visit(&mut |node| {
            if let Kind::Vector(selector) | Kind::Matrix(selector, _) = &node.kind {
                found.push(selector.matchers.as_slice());
            }
        });
        found
    }

    /// Whether an instant query of it gives a scalar, text, a vector or a matrix.
    pub fn type_name(&self) -> &'static str {
        match self.root.shape() {
            Shape::Scalar => "scalar",
            Shape::Text => "string",
            Shape::Vector => "vector",
            Shape::Matrix => "matrix",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    /// Of its first byte in the text.
    pub(crate) position: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Scalar,
    Text,
    Vector,
    Matrix,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Number(f64),
    Text(String),
    Vector(Selector),
    /// With the range in milliseconds.
    Matrix(Selector, i64),
    Subquery(Box<Subquery>),
    Call {
        function: &'static str,
        arguments: Vec<Node>,
    },
    Aggregate(Box<Aggregate>),
    Minus(Box<Node>),
    Binary(Box<Binary>),
}

/// `@` and `offset`.
#[derive(Clone, Debug, PartialEq, Default)]
pub(crate) struct Shift {
    pub(crate) at: Option<At>,
    /// Milliseconds into the past; negative into the future.
    pub(crate) offset: i64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum At {
    Start,
    End,
    Millis(i64),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Selector {
    /// The name among them.
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) shift: Shift,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Subquery {
    pub(crate) inner: Node,
    pub(crate) range: i64,
    /// Without: that of the options.
    pub(crate) step: Option<i64>,
    pub(crate) shift: Shift,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aggregation {
    Average,
    Bottom,
    Count,
    CountValues,
    Group,
    Max,
    Min,
    Quantile,
    Deviation,
    Variance,
    Sum,
    Top,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Aggregate {
    pub(crate) operator: Aggregation,
    pub(crate) grouping: Grouping,
    pub(crate) parameter: Option<Node>,
    pub(crate) inner: Node,
}

/// Which labels tell groups (or matches) apart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Grouping {
    By(Vec<String>),
    Without(Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
    Atan2,
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
    And,
    Or,
    Unless,
}

impl Operator {
    pub(crate) fn is_comparison(self) -> bool {
        use Operator::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        matches!(self, Equal | NotEqual | Greater | Less | GreaterOrEqual | LessOrEqual)
    }

    pub(crate) fn is_set(self) -> bool {
        matches!(self, Operator::And | Operator::Or | Operator::Unless)
    }
}

/// Which side may have several series for one of the other.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cardinality {
    OneToOne,
    /// `group_left`, with labels that are taken from the right.
    ManyLeft(Vec<String>),
    /// `group_right`, with labels that are taken from the left.
    ManyRight(Vec<String>),
}

impl Cardinality {
    /// Labels that the result takes from the side of one.
    pub(crate) fn included(&self) -> &[String] {
        match self {
            Cardinality::OneToOne => &[],
            Cardinality::ManyLeft(labels) | Cardinality::ManyRight(labels) => labels,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Binary {
    pub(crate) operator: Operator,
    pub(crate) left: Node,
    pub(crate) right: Node,
    /// `bool`: 0 and 1 instead of filtering.
    pub(crate) as_bool: bool,
    /// `on` is `By`, `ignoring` (or neither) is `Without`.
    pub(crate) matching: Grouping,
    pub(crate) cardinality: Cardinality,
}

impl Node {
    pub(crate) fn shape(&self) -> Shape {
        match &self.kind {
            Kind::Number(_) => Shape::Scalar,
            Kind::Text(_) => Shape::Text,
            Kind::Vector(_) | Kind::Aggregate(_) => Shape::Vector,
            Kind::Matrix(..) | Kind::Subquery(_) => Shape::Matrix,
            Kind::Call { function: "scalar" | "time" | "pi", .. } => Shape::Scalar,
            Kind::Call { .. } => Shape::Vector,
            Kind::Minus(inner) => inner.shape(),
            Kind::Binary(binary) => match (binary.left.shape(), binary.right.shape()) {
                (Shape::Scalar, Shape::Scalar) => Shape::Scalar,
                _ => Shape::Vector,
            },
        }
    }

    fn visit<'a>(&'a self, visitor: &mut impl FnMut(&'a Node)) {
        visitor(self);
        match &self.kind {
            Kind::Number(_) | Kind::Text(_) | Kind::Vector(_) | Kind::Matrix(..) => {}
            Kind::Subquery(subquery) => subquery.inner.visit(visitor),
            Kind::Call { arguments, .. } => arguments.iter().for_each(|argument| argument.visit(visitor)),
            Kind::Aggregate(aggregate) => {
                if let Some(parameter) = &aggregate.parameter {
                    parameter.visit(visitor);
                }
                aggregate.inner.visit(visitor);
            }
            Kind::Minus(inner) => inner.visit(visitor),
            Kind::Binary(binary) => {
                binary.left.visit(visitor);
                binary.right.visit(visitor);
            }
        }
    }
}
