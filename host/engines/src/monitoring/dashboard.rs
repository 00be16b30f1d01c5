//! What is wrong with a dashboard that only who knows PromQL can see. Nothing here works on dashboards: pages draw them.

use super::rule_files::Mistake;
use quarterdeck_model::domain::dashboard::DashboardSpec;
use quarterdeck_promql::Expression;

/// Everything that is wrong with it, by JSON Pointers below the dashboard.
pub fn check_dashboard(spec: &DashboardSpec) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    for (panel, spec) in spec.panels.iter().enumerate() {
        for (index, query) in spec.queries.iter().enumerate() {
            let message = match Expression::parse(query) {
                Ok(expression) if matches!(expression.type_name(), "scalar" | "vector") => continue,
                Ok(expression) => format!("expected a vector or a scalar, found a {}", expression.type_name()),
                Err(error) => error.to_string(),
            };
            mistakes.push(Mistake { pointer: format!("/panels/{panel}/queries/{index}"), message });
        }
    }
    mistakes
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_expression_that_is_none_is_said_with_its_place() {
        let spec = json!({"title": "t", "panels": [{"title": "a", "queries": ["up"]}, {"title": "b", "queries": ["up", "sum(a))"]},
            {"title": "c", "queries": ["up[5m]"]}]});
        let mistakes = check_dashboard(&serde_json::from_value(spec).unwrap());
        assert_eq!(mistakes.len(), 2);
        assert_eq!(
            (mistakes[1].pointer.as_str(), mistakes[1].message.contains("found a matrix")),
            ("/panels/2/queries/0", true)
        );
        assert_eq!(mistakes[0].pointer, "/panels/1/queries/1");
        assert!(mistakes[0].message.contains("(1:7)"), "{}", mistakes[0].message);
    }
}
