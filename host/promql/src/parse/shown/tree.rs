//! A query's tree, as Prometheus's `parse_query` has it: brackets among its nodes, names of metrics among the matchers as well.

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::value::ValueType;
use promql_parser::parser::{
    AggregateExpr, AtModifier, BinaryExpr, Call, Expr, LabelModifier, Offset, VectorMatchCardinality, VectorSelector,
};
use quarterdeck_model::series::query::NAME;
use serde_json::{Map, Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(super) fn of(expr: &Expr) -> Value {
    match expr {
        Expr::NumberLiteral(number) => json!({"type": "numberLiteral", "val": figure(number.val)}),
        Expr::StringLiteral(text) => json!({"type": "stringLiteral", "val": text.val}),
        Expr::VectorSelector(selector) => node("vectorSelector", selected(selector)),
        Expr::MatrixSelector(matrix) => {
            let mut fields = selected(&matrix.vs);
            fields.insert("range".to_owned(), millis(matrix.range).into());
            node("matrixSelector", fields)
        }
        Expr::Subquery(subquery) => {
            let mut fields = shift(subquery.at.as_ref(), subquery.offset.as_ref());
            fields.insert("expr".to_owned(), of(&subquery.expr));
            fields.insert("range".to_owned(), millis(subquery.range).into());
            fields.insert("step".to_owned(), subquery.step.map_or(0, millis).into());
            node("subquery", fields)
        }
        Expr::Paren(paren) => json!({"type": "parenExpr", "expr": of(&paren.expr)}),
        Expr::Unary(unary) => json!({"type": "unaryExpr", "op": "-", "expr": of(&unary.expr)}),
        Expr::Call(call) => called(call),
        Expr::Aggregate(aggregate) => aggregated(aggregate),
        Expr::Binary(binary) => combined(binary),
        // Refused when the query was read.
        Expr::Extension(_) => Value::Null,
    }
}

fn node(kind: &str, mut fields: Map<String, Value>) -> Value {
    fields.insert("type".to_owned(), kind.into());
    Value::Object(fields)
}

fn selected(selector: &VectorSelector) -> Map<String, Value> {
    let mut fields = shift(selector.at.as_ref(), selector.offset.as_ref());
    let mut matchers: Vec<Value> = selector.matchers.matchers.iter().map(matcher).collect();
    if let Some(name) = &selector.name {
        matchers.push(json!({"name": NAME, "value": name, "type": "="}));
    }
    fields.insert("name".to_owned(), selector.name.clone().unwrap_or_default().into());
    fields.insert("matchers".to_owned(), matchers.into());
    fields
}

fn matcher(matcher: &Matcher) -> Value {
    let comparison = match matcher.op {
        MatchOp::Equal => "=",
        MatchOp::NotEqual => "!=",
        MatchOp::Re(_) => "=~",
        MatchOp::NotRe(_) => "!~",
    };
    json!({"name": matcher.name, "value": matcher.value, "type": comparison})
}

fn shift(at: Option<&AtModifier>, offset: Option<&Offset>) -> Map<String, Value> {
    let (timestamp, start_or_end) = match at {
        None => (Value::Null, Value::Null),
        Some(AtModifier::Start) => (Value::Null, "start".into()),
        Some(AtModifier::End) => (Value::Null, "end".into()),
        Some(AtModifier::At(time)) => (since(time).into(), Value::Null),
    };
    let offset = match offset {
        None => 0,
        Some(Offset::Pos(duration)) => millis(*duration),
        Some(Offset::Neg(duration)) => -millis(*duration),
    };
    let fields = [("timestamp", timestamp), ("startOrEnd", start_or_end), ("offset", offset.into())];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn called(call: &Call) -> Value {
    let function = &call.func;
    let types: Vec<&str> = function.arg_types.iter().map(|kind| name_of(*kind)).collect();
    let arguments: Vec<Value> = call.args.args.iter().map(|argument| of(argument)).collect();
    json!({"type": "call", "args": arguments, "func": {
        "name": function.name, "argTypes": types, "variadic": function.variadic, "returnType": name_of(function.return_type),
    }})
}

fn aggregated(aggregate: &AggregateExpr) -> Value {
    let (labels, without) = match &aggregate.modifier {
        None => (Vec::new(), false),
        Some(LabelModifier::Include(labels)) => (labels.labels.clone(), false),
        Some(LabelModifier::Exclude(labels)) => (labels.labels.clone(), true),
    };
    json!({"type": "aggregation", "op": aggregate.op.to_string(), "expr": of(&aggregate.expr),
        "param": aggregate.param.as_deref().map(of), "grouping": labels, "without": without})
}

fn combined(binary: &BinaryExpr) -> Value {
    let modifier = binary.modifier.as_ref();
    let matching = [&binary.lhs, &binary.rhs].iter().all(|side| side.value_type() == ValueType::Vector).then(|| {
        let (labels, on) = match modifier.and_then(|modifier| modifier.matching.as_ref()) {
            None => (Vec::new(), false),
            Some(LabelModifier::Include(labels)) => (labels.labels.clone(), true),
            Some(LabelModifier::Exclude(labels)) => (labels.labels.clone(), false),
        };
        let is_set = ["and", "or", "unless"].contains(&binary.op.to_string().as_str());
        let (cardinality, include) = match modifier.map(|modifier| &modifier.card) {
            _ if is_set => ("many-to-many", Vec::new()),
            None | Some(VectorMatchCardinality::OneToOne) => ("one-to-one", Vec::new()),
            Some(VectorMatchCardinality::ManyToOne(labels)) => ("many-to-one", labels.labels.clone()),
            Some(VectorMatchCardinality::OneToMany(labels)) => ("one-to-many", labels.labels.clone()),
            Some(VectorMatchCardinality::ManyToMany) => ("many-to-many", Vec::new()),
        };
        json!({"card": cardinality, "labels": labels, "on": on, "include": include})
    });
    json!({"type": "binaryExpr", "op": binary.op.to_string(), "lhs": of(&binary.lhs), "rhs": of(&binary.rhs),
        "matching": matching, "bool": modifier.is_some_and(|modifier| modifier.return_bool)})
}

const fn name_of(kind: ValueType) -> &'static str {
    match kind {
        ValueType::Vector => "vector",
        ValueType::Scalar => "scalar",
        ValueType::Matrix => "matrix",
        ValueType::String => "string",
    }
}

/// As Go writes it without an exponent.
fn figure(value: f64) -> String {
    if value == f64::INFINITY {
        "+Inf".to_owned()
    } else if value == f64::NEG_INFINITY {
        "-Inf".to_owned()
    } else {
        value.to_string()
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn since(time: &SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => millis(after),
        Err(before) => -millis(before.duration()),
    }
}
