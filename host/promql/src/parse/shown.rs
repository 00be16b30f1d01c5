//! Queries for people and their tools: written as one would write them, and as the tree that they are. In both Prometheus's form, as its
//! API gives it.

mod tree;

use super::read;
use crate::error::Error;
use crate::expression::{Expression, Kind, Node};
use quarterdeck_model::series::query::Matcher;

/// Of a thread that shows queries: each level of them takes several frames.
pub const STACK: usize = 32 << 20;
/// A longer query stays as it is: each level of it is written again and again until it is known where lines end.
const LONGEST: usize = 64 << 10;

/// The query in several lines where it is long, with blanks where they belong. Comments are left out, as by Prometheus.
///
/// # Errors
/// [`Error::Parse`].
pub fn format_query(text: &str) -> Result<String, Error> {
    let meant = Expression::parse(text)?;
    if text.len() > LONGEST {
        return Ok(text.trim().to_owned());
    }
    let theirs = read(text)?;
    let write = std::panic::AssertUnwindSafe(|| [theirs.prettify(), theirs.to_string()]);
    let written = std::panic::catch_unwind(write).unwrap_or_default();
    let meant = bare(meant.root);
    // Whatever the crate makes of it: what is given back is the same query.
    let is_same = |written: &String| Expression::parse(written).is_ok_and(|again| bare(again.root) == meant);
    Ok(written.into_iter().find(is_same).unwrap_or_else(|| text.trim().to_owned()))
}

/// The query's tree.
///
/// # Errors
/// [`Error::Parse`].
pub fn tree_of(text: &str) -> Result<serde_json::Value, Error> {
    Expression::parse(text)?;
    Ok(tree::of(&read(text)?))
}

/// What the query means, without positions in the text and with its matchers in order, as a text: so not a number equals itself.
fn bare(mut root: Node) -> String {
    strip(&mut root);
    format!("{root:?}")
}

fn strip(node: &mut Node) {
    node.position = 0;
    match &mut node.kind {
        Kind::Number(_) | Kind::Text(_) => {}
        Kind::Vector(selector) | Kind::Matrix(selector, _) => {
            let order = |one: &Matcher| (one.label.clone(), one.value.clone(), format!("{:?}", one.comparison));
            selector.matchers.sort_by_key(order);
        }
        Kind::Subquery(subquery) => strip(&mut subquery.inner),
        Kind::Call { arguments, .. } => arguments.iter_mut().for_each(strip),
        Kind::Aggregate(aggregate) => {
            aggregate.parameter.iter_mut().for_each(strip);
            strip(&mut aggregate.inner);
        }
        Kind::Minus(inner) => strip(inner),
        Kind::Binary(binary) => {
            strip(&mut binary.left);
            strip(&mut binary.right);
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::parse::bounds::LEVELS;
    use serde_json::json;

    fn check(query: &str, expected: &str) {
        assert_eq!(format_query(query).unwrap(), expected);
        assert_eq!(format_query(expected).unwrap(), expected, "what is written so stays so");
    }

    #[test]
    fn a_query_is_written_as_prometheus_writes_it() {
        check("  up ", "up");
        check(
            "sum by(job)(rate(http_requests_total{b='2',a=\"1\"}[5m]))  # why",
            "sum by (job) (rate(http_requests_total{a=\"1\",b=\"2\"}[5m]))",
        );
        check("1+2*3", "1 + 2 * 3");
        check("foo offset 5m", "foo offset 5m");
        let long = format!(
            "sum({0}{{a=\"b\"}}) / on(job) group_left(x) sum({0}{{c=\"d\"}})",
            "a_very_long_name_of_a_metric".repeat(2)
        );
        let written = format_query(&long).unwrap();
        let name = "a_very_long_name_of_a_metric".repeat(2);
        let lines = [
            format!("  sum({name}{{a=\"b\"}})"),
            "/ on (job) group_left (x)".to_owned(),
            format!("  sum({name}{{c=\"d\"}})"),
        ];
        assert_eq!(written, lines.join("\n"));
        assert_eq!(format_query(&written).unwrap(), written);
    }

    #[test]
    fn the_deepest_query_is_shown_on_a_large_stack_and_the_longest_stays_as_it_is() {
        let deep = |open: &str, close: &str| format!("{}load{}", open.repeat(LEVELS), close.repeat(LEVELS));
        let queries = [deep("(", ")"), deep("sum(", ")"), deep("-", ""), vec!["load"; LEVELS + 1].join(" + ")];
        for query in queries {
            let thread = std::thread::Builder::new().stack_size(STACK);
            let shown = thread.spawn(move || (format_query(&query).is_ok(), tree_of(&query).is_ok()));
            assert_eq!(shown.unwrap().join().unwrap(), (true, true));
        }
        let long = format!("up{{a=\"{}\"}}  ", "x".repeat(LONGEST));
        assert_eq!(format_query(&long).unwrap(), long.trim());
    }

    #[test]
    fn what_is_no_query_is_refused_as_ever() {
        for wrong in ["", "sum(", "up{a=\"b\" or c=\"d\"}", "rate(up)"] {
            let refused = Expression::parse(wrong).unwrap_err().to_string();
            assert_eq!(format_query(wrong).unwrap_err().to_string(), refused);
            assert_eq!(tree_of(wrong).unwrap_err().to_string(), refused);
        }
    }

    #[test]
    fn whatever_is_written_is_the_same_query() {
        let cases = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
        let mut seen = 0;
        for file in std::fs::read_dir(cases).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            for line in text.lines().filter_map(|line| line.strip_prefix("eval ")) {
                // `eval instant at 5m QUERY`, `eval range from 0 to 10m step 1m QUERY`.
                let words: Vec<&str> = line.split_whitespace().collect();
                let begin = if words.first() == Some(&"instant") { 3 } else { 7 };
                let query = words.get(begin..).unwrap_or_default().join(" ");
                let Ok(meant) = Expression::parse(&query) else { continue };
                let again = Expression::parse(&format_query(&query).unwrap()).unwrap();
                assert_eq!(bare(again.root), bare(meant.root), "{query}");
                assert!(tree_of(&query).unwrap().get("type").is_some());
                seen += 1;
            }
        }
        assert!(seen > 50, "{seen}");
    }

    #[test]
    fn a_tree_is_that_of_prometheus() {
        let up = json!({"type": "vectorSelector", "name": "up", "offset": 0, "timestamp": null, "startOrEnd": null,
            "matchers": [{"name": "__name__", "value": "up", "type": "="}]});
        assert_eq!(tree_of("up").unwrap(), up);
        let selector = json!({"type": "matrixSelector", "name": "", "range": 300_000, "offset": -60_000, "timestamp": 1_000, "startOrEnd": null,
            "matchers": [{"name": "a", "value": "b.*", "type": "=~"}]});
        let rate = json!({"type": "call", "args": [selector],
            "func": {"name": "rate", "argTypes": ["matrix"], "variadic": 0, "returnType": "vector"}});
        assert_eq!(tree_of("rate({a=~'b.*'}[5m] @ 1 offset -1m)").unwrap(), rate);
        assert_eq!(
            tree_of("topk by (job) (3, up)").unwrap(),
            json!({"type": "aggregation", "op": "topk", "param": {"type": "numberLiteral", "val": "3"}, "expr": up,
                "grouping": ["job"], "without": false})
        );
        assert_eq!(
            tree_of("up * ignoring(x) group_left(y) up").unwrap(),
            json!({"type": "binaryExpr", "op": "*", "lhs": up, "rhs": up, "bool": false,
                "matching": {"card": "many-to-one", "labels": ["x"], "on": false, "include": ["y"]}})
        );
        assert_eq!(
            tree_of("(up) and -up").unwrap(),
            json!({"type": "binaryExpr", "op": "and", "bool": false, "lhs": {"type": "parenExpr", "expr": up},
                "rhs": {"type": "unaryExpr", "op": "-", "expr": up},
                "matching": {"card": "many-to-many", "labels": [], "on": false, "include": []}})
        );
        assert_eq!(
            tree_of("1 > bool Inf").unwrap(),
            json!({"type": "binaryExpr", "op": ">", "lhs": {"type": "numberLiteral", "val": "1"},
                "rhs": {"type": "numberLiteral", "val": "+Inf"}, "bool": true, "matching": null})
        );
        assert_eq!(
            tree_of("up[1h:1m] @ end()").unwrap(),
            json!({"type": "subquery", "expr": up, "range": 3_600_000, "step": 60_000, "offset": 0, "timestamp": null, "startOrEnd": "end"})
        );
        assert_eq!(tree_of("'a'").unwrap(), json!({"type": "stringLiteral", "val": "a"}));
    }
}
