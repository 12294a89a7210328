//! The tables of `docs/metrics.md`.

use std::collections::{BTreeMap, BTreeSet};

pub(crate) const PAGE: &str = include_str!("../../docs/metrics.md");

/// A metric, without its name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Metric {
    pub(crate) kind: String,
    pub(crate) unit: String,
    /// With their values. `…` stands for those that cannot be listed.
    pub(crate) labels: BTreeMap<String, BTreeSet<String>>,
}

/// Those that the other crate emits.
pub(crate) fn is_of_the_inbox(name: &str) -> bool {
    ["gemini_webhooks_inbox_", "gemini_webhooks_endpoint_"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// The rows that begin with a metric, as cells.
fn rows(cells: usize) -> impl Iterator<Item = Vec<&'static str>> {
    let lines = PAGE
        .lines()
        .filter(|line| line.starts_with("| `gemini_webhooks_"));
    let rows = lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect());
    rows.filter(move |row: &Vec<&str>| row.len() == cells)
}

fn quoted(cell: &str) -> impl Iterator<Item = String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned)
}

/// The metrics whose name fits.
pub(crate) fn documented(fits: impl Fn(&str) -> bool) -> BTreeMap<String, Metric> {
    let mut metrics = BTreeMap::new();
    // Name, kind, unit, meaning.
    for row in rows(4) {
        let name = quoted(row[0]).next().unwrap();
        let metric = Metric {
            kind: row[1].to_owned(),
            unit: row[2].to_owned(),
            labels: BTreeMap::new(),
        };
        let twice = metrics.insert(name.clone(), metric);
        assert!(twice.is_none(), "{name} is there twice");
    }
    // Name, label, values.
    for row in rows(3) {
        let name = quoted(row[0]).next().unwrap();
        let label = quoted(row[1]).next().unwrap();
        let mut values: BTreeSet<String> = quoted(row[2]).collect();
        if row[2].starts_with('…') {
            values = BTreeSet::from(["…".to_owned()]);
        }
        let metric: &mut Metric = metrics.get_mut(&name).unwrap_or_else(|| panic!("{name}"));
        metric.labels.insert(label, values);
    }
    metrics.retain(|name, _| fits(name));
    metrics
}

/// The error codes: those that have a section on the page of refused deliveries.
pub(crate) fn codes() -> BTreeSet<String> {
    let page = include_str!("../../docs/refused-deliveries.md");
    let sections = page.lines().filter_map(|line| line.strip_prefix("### `"));
    sections
        .map(|section| section.trim_end_matches('`').to_owned())
        .collect()
}
