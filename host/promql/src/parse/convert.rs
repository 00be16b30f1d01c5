//! The crate's tree to ours. Refuses what is not Prometheus's, and what Prometheus calls experimental.

use super::places::Places;
use crate::error::Error;
use crate::evaluate::functions;
use crate::expression::{
    Aggregate, Aggregation, At, Binary, Cardinality, Grouping, Kind, Node, Operator, Selector, Shift, Subquery,
};
use promql_parser::label::{MatchOp, Matcher as TheirMatcher};
use promql_parser::parser::{
    AggregateExpr, AtModifier, BinModifier, BinaryExpr, Call, Expr, LabelModifier, Offset, SubqueryExpr,
    VectorMatchCardinality, VectorSelector, token,
};
use quarterdeck_model::series::query::{Comparison, Matcher, NAME};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(super) fn node(expr: &Expr, places: &mut Places<'_>) -> Result<Node, Error> {
    let position = places.here();
    let kind = match expr {
        Expr::NumberLiteral(number) => {
            places.number();
            Kind::Number(number.val)
        }
        Expr::StringLiteral(text) => {
            places.one();
            Kind::Text(text.val.clone())
        }
        Expr::VectorSelector(selector) => {
            places.selector();
            Kind::Vector(convert_selector(selector)?)
        }
        Expr::MatrixSelector(matrix) => {
            places.selector();
            let range = positive(matrix.range, "a range")?;
            Kind::Matrix(convert_selector(&matrix.vs)?, range)
        }
        // Brackets are no node of ours: nothing asks for them but positions.
        Expr::Paren(paren) => {
            places.open();
            let inner = node(&paren.expr, places)?;
            places.close();
            places.modifiers();
            return Ok(Node { position, ..inner });
        }
        Expr::Unary(unary) => {
            places.one();
            Kind::Minus(Box::new(node(&unary.expr, places)?))
        }
        Expr::Subquery(subquery) => convert_subquery(subquery, places)?,
        Expr::Call(call) => convert_call(call, places)?,
        Expr::Aggregate(aggregate) => convert_aggregate(aggregate, places)?,
        Expr::Binary(binary) => convert_binary(binary, places)?,
        Expr::Extension(_) => return Err(Error::Parse("extensions are not supported".to_owned())),
    };
    Ok(Node { kind, position })
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn positive(duration: Duration, what: &str) -> Result<i64, Error> {
    match millis(duration) {
        0 => Err(Error::Parse(format!("{what} must be greater than 0"))),
        millis => Ok(millis),
    }
}

fn convert_shift(at: Option<&AtModifier>, offset: Option<&Offset>) -> Shift {
    let since = |time: &SystemTime| match time.duration_since(UNIX_EPOCH) {
        Ok(after) => millis(after),
        Err(before) => -millis(before.duration()),
    };
    Shift {
        at: at.map(|at| match at {
            AtModifier::Start => At::Start,
            AtModifier::End => At::End,
            AtModifier::At(time) => At::Millis(since(time)),
        }),
        offset: match offset {
            Some(Offset::Pos(duration)) => millis(*duration),
            Some(Offset::Neg(duration)) => -millis(*duration),
            None => 0,
        },
    }
}

fn convert_selector(selector: &VectorSelector) -> Result<Selector, Error> {
    if !selector.matchers.or_matchers.is_empty() {
        return Err(Error::Parse("`or` between matchers is not PromQL; hint: join two selectors by `or`".to_owned()));
    }
    let name = selector.name.iter().map(|name| Matcher {
        label: NAME.to_owned(),
        comparison: Comparison::Equal,
        value: name.clone(),
    });
    let matchers: Vec<Matcher> = name.chain(selector.matchers.matchers.iter().map(convert_matcher)).collect();
    let names = matchers.iter().filter(|matcher| matcher.label == NAME && matcher.comparison == Comparison::Equal);
    if names.count() > 1 && selector.name.is_some() {
        return Err(Error::Parse("metric name must not be set twice".to_owned()));
    }
    Ok(Selector { matchers, shift: convert_shift(selector.at.as_ref(), selector.offset.as_ref()) })
}

fn convert_matcher(matcher: &TheirMatcher) -> Matcher {
    let comparison = match matcher.op {
        MatchOp::Equal => Comparison::Equal,
        MatchOp::NotEqual => Comparison::NotEqual,
        MatchOp::Re(_) => Comparison::Matches,
        MatchOp::NotRe(_) => Comparison::MatchesNot,
    };
    Matcher { label: matcher.name.clone(), comparison, value: matcher.value.clone() }
}

fn convert_subquery(subquery: &SubqueryExpr, places: &mut Places<'_>) -> Result<Kind, Error> {
    let inner = node(&subquery.expr, places)?;
    places.modifiers();
    Ok(Kind::Subquery(Box::new(Subquery {
        inner,
        range: positive(subquery.range, "a range")?,
        step: subquery.step.map(|step| positive(step, "a step")).transpose()?,
        shift: convert_shift(subquery.at.as_ref(), subquery.offset.as_ref()),
    })))
}

fn convert_call(call: &Call, places: &mut Places<'_>) -> Result<Kind, Error> {
    places.one();
    places.open();
    let mut arguments = Vec::with_capacity(call.args.len());
    for argument in &call.args.args {
        arguments.push(node(argument, places)?);
        places.comma();
    }
    places.close();
    places.modifiers();
    let function = functions::find(call.func.name).ok_or_else(|| {
        Error::Parse(format!("function `{}` is experimental in Prometheus, and not supported", call.func.name))
    })?;
    let literals = functions::texts(function);
    for (index, argument) in arguments.iter().enumerate() {
        if literals.contains(&index) && !matches!(argument.kind, Kind::Text(_)) {
            return Err(Error::Parse(format!("argument {} of `{function}` has to be text", index + 1)));
        }
    }
    Ok(Kind::Call { function, arguments })
}

fn labels(modifier: Option<&LabelModifier>) -> Option<Grouping> {
    modifier.map(|modifier| match modifier {
        LabelModifier::Include(labels) => Grouping::By(labels.labels.clone()),
        LabelModifier::Exclude(labels) => Grouping::Without(labels.labels.clone()),
    })
}

fn convert_aggregate(aggregate: &AggregateExpr, places: &mut Places<'_>) -> Result<Kind, Error> {
    let operator = match aggregate.op.id() {
        token::T_AVG => Aggregation::Average,
        token::T_BOTTOMK => Aggregation::Bottom,
        token::T_COUNT => Aggregation::Count,
        token::T_COUNT_VALUES => Aggregation::CountValues,
        token::T_GROUP => Aggregation::Group,
        token::T_MAX => Aggregation::Max,
        token::T_MIN => Aggregation::Min,
        token::T_QUANTILE => Aggregation::Quantile,
        token::T_STDDEV => Aggregation::Deviation,
        token::T_STDVAR => Aggregation::Variance,
        token::T_SUM => Aggregation::Sum,
        token::T_TOPK => Aggregation::Top,
        _ => {
            let name = aggregate.op;
            return Err(Error::Parse(format!("`{name}` is experimental in Prometheus, and not supported")));
        }
    };
    places.one();
    places.grouping();
    places.open();
    let parameter = aggregate.param.as_ref().map(|parameter| node(parameter, places)).transpose()?;
    if parameter.is_some() {
        places.comma();
    }
    let inner = node(&aggregate.expr, places)?;
    places.close();
    places.grouping();
    if operator == Aggregation::CountValues
        && !parameter.as_ref().is_some_and(|parameter| matches!(&parameter.kind, Kind::Text(_)))
    {
        return Err(Error::Parse("the first argument of `count_values` has to be text".to_owned()));
    }
    let grouping = labels(aggregate.modifier.as_ref()).unwrap_or_else(|| Grouping::By(Vec::new()));
    Ok(Kind::Aggregate(Box::new(Aggregate { operator, grouping, parameter, inner })))
}

fn convert_operator(id: token::TokenId) -> Option<Operator> {
    Some(match id {
        token::T_ADD => Operator::Add,
        token::T_SUB => Operator::Subtract,
        token::T_MUL => Operator::Multiply,
        token::T_DIV => Operator::Divide,
        token::T_MOD => Operator::Modulo,
        token::T_POW => Operator::Power,
        token::T_ATAN2 => Operator::Atan2,
        token::T_EQLC => Operator::Equal,
        token::T_NEQ => Operator::NotEqual,
        token::T_GTR => Operator::Greater,
        token::T_LSS => Operator::Less,
        token::T_GTE => Operator::GreaterOrEqual,
        token::T_LTE => Operator::LessOrEqual,
        token::T_LAND => Operator::And,
        token::T_LOR => Operator::Or,
        token::T_LUNLESS => Operator::Unless,
        _ => return None,
    })
}

fn convert_binary(binary: &BinaryExpr, places: &mut Places<'_>) -> Result<Kind, Error> {
    let left = node(&binary.lhs, places)?;
    places.operator();
    let right = node(&binary.rhs, places)?;
    let operator = convert_operator(binary.op.id())
        .ok_or_else(|| Error::Parse(format!("operator `{}` is not supported", binary.op)))?;
    let default = BinModifier::default();
    let modifier = binary.modifier.as_ref().unwrap_or(&default);
    if modifier.fill_values.lhs.is_some() || modifier.fill_values.rhs.is_some() {
        return Err(Error::Parse("`fill` is experimental in Prometheus, and not supported".to_owned()));
    }
    let cardinality = match &modifier.card {
        VectorMatchCardinality::ManyToOne(labels) => Cardinality::ManyLeft(labels.labels.clone()),
        VectorMatchCardinality::OneToMany(labels) => Cardinality::ManyRight(labels.labels.clone()),
        VectorMatchCardinality::OneToOne | VectorMatchCardinality::ManyToMany => Cardinality::OneToOne,
    };
    let matching = labels(modifier.matching.as_ref()).unwrap_or_else(|| Grouping::Without(Vec::new()));
    Ok(Kind::Binary(Box::new(Binary { operator, left, right, as_bool: modifier.return_bool, matching, cardinality })))
}
