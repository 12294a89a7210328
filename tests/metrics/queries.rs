//! The queries of the alerts and of the dashboard: each is PromQL, and asks for metrics that are documented.

use std::collections::{BTreeMap, BTreeSet};

use promql_parser::parser::{self, Expr, VectorSelector};
use serde_json::Value;

use crate::table::{self, Metric, PAGE};

const DASHBOARD: &str = include_str!("../../docs/dashboard.json");

fn of_the_alerts() -> Vec<String> {
    let expressions = PAGE
        .lines()
        .filter_map(|line| line.trim().strip_prefix("expr: "));
    expressions.map(str::to_owned).collect()
}

fn of_the_dashboard() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap());
    targets
        // What Grafana puts in by itself.
        .map(|target| {
            target["expr"]
                .as_str()
                .unwrap()
                .replace("$__rate_interval", "5m")
        })
        .collect()
}

/// The selectors of a query.
fn selectors(query: &Expr) -> Vec<&VectorSelector> {
    match query {
        Expr::Aggregate(aggregate) => selectors(&aggregate.expr),
        Expr::Binary(binary) => [selectors(&binary.lhs), selectors(&binary.rhs)].concat(),
        Expr::Call(call) => call
            .args
            .args
            .iter()
            .flat_map(|arg| selectors(arg))
            .collect(),
        Expr::MatrixSelector(matrix) => vec![&matrix.vs],
        Expr::VectorSelector(selector) => vec![selector],
        Expr::NumberLiteral(_) => Vec::new(),
        other => panic!("a query that this test does not read: {other:?}"),
    }
}

/// The metric that a selector is about, as the table names it: Prometheus shows a histogram as three.
fn metric<'a>(name: &'a str, documented: &BTreeMap<String, Metric>) -> &'a str {
    let base = name.strip_suffix("_bucket").unwrap_or(name);
    let metric = documented
        .get(base)
        .unwrap_or_else(|| panic!("{name} is not documented"));
    assert_eq!(base != name, metric.kind == "histogram", "{name}");
    base
}

#[test]
fn queries_ask_for_what_is_documented() {
    let documented = table::documented(|_| true);
    let (alerts, panels) = (of_the_alerts(), of_the_dashboard());
    assert_eq!((alerts.len(), panels.len() >= 20), (6, true));
    let mut shown = BTreeSet::new();
    for (query, is_a_panel) in alerts
        .iter()
        .map(|query| (query, false))
        .chain(panels.iter().map(|query| (query, true)))
    {
        let parsed = parser::parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
        let selectors = selectors(&parsed);
        assert!(!selectors.is_empty(), "{query}");
        for selector in selectors {
            let name = selector.name.as_deref().unwrap();
            let metric = metric(name, &documented);
            for matcher in &selector.matchers.matchers {
                let labels = &documented[metric].labels;
                let values = labels.get(&matcher.name);
                let values = values.unwrap_or_else(|| panic!("{query}: {}", matcher.name));
                let mut asked = matcher.value.split('|');
                // A code is empty if the delivery was not refused.
                let code = |value: &str| value.is_empty() || table::codes().contains(value);
                let known =
                    |value: &str| values.contains(value) || (values.contains("…") && code(value));
                assert!(asked.all(known), "{query}: {}", matcher.value);
            }
            if is_a_panel {
                shown.insert(metric.to_owned());
            }
        }
    }
    let all: BTreeSet<String> = documented.into_keys().collect();
    assert_eq!(shown, all, "the dashboard shows every metric");
}

#[test]
fn what_is_no_promql_is_found() {
    for query in ["sum(rate(x[5m])", "rate(x)", "sum by x"] {
        assert!(parser::parse(query).is_err(), "{query}");
    }
}
