//! What a recorder was told.

use std::collections::{BTreeMap, BTreeSet};

use metrics::Unit;
use metrics_util::MetricKind;
use metrics_util::debugging::{DebugValue, Snapshotter};

use crate::table::Metric;

#[derive(Debug)]
pub(crate) struct Emitted(Vec<One>);

#[derive(Debug)]
struct One {
    name: String,
    kind: &'static str,
    unit: Option<Unit>,
    labels: Vec<(String, String)>,
    values: Vec<f64>,
}

impl Emitted {
    /// Each has a description.
    pub(crate) fn of(snapshotter: &Snapshotter) -> Self {
        let told = snapshotter.snapshot().into_vec().into_iter();
        let told = told.map(|(key, unit, description, value)| {
            let (_, key) = key.into_parts();
            let name = key.name().to_owned();
            assert!(description.is_some(), "{name}");
            let (kind, values) = match value {
                DebugValue::Counter(count) => (MetricKind::Counter, vec![count as f64]),
                DebugValue::Gauge(value) => (MetricKind::Gauge, vec![value.0]),
                DebugValue::Histogram(values) => {
                    let values = values.into_iter().map(|value| value.0).collect();
                    (MetricKind::Histogram, values)
                }
            };
            let labels = key.labels();
            let labels = labels.map(|label| (label.key().to_owned(), label.value().to_owned()));
            One {
                name,
                kind: match kind {
                    MetricKind::Counter => "counter",
                    MetricKind::Gauge => "gauge",
                    MetricKind::Histogram => "histogram",
                },
                unit,
                labels: labels.collect(),
                values,
            }
        });
        Self(told.collect())
    }

    /// As the table tells them. `codes` are the values that stand for `code`.
    pub(crate) fn metrics(&self, codes: &BTreeSet<String>) -> BTreeMap<String, Metric> {
        let mut metrics = BTreeMap::new();
        for one in &self.0 {
            let metric: &mut Metric = metrics.entry(one.name.clone()).or_default();
            metric.kind = one.kind.to_owned();
            metric.unit = one.unit.map_or("", |unit| unit.as_str()).to_owned();
            for (label, value) in &one.labels {
                let value = match label.as_str() {
                    "code" if value.is_empty() || codes.contains(value) => "…",
                    _ => value,
                };
                let values = metric.labels.entry(label.clone()).or_default();
                values.insert(value.to_owned());
            }
        }
        metrics
    }

    fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a One> {
        self.0.iter().filter(move |one| one.name == name)
    }

    pub(crate) fn values(&self, name: &str) -> Vec<f64> {
        self.named(name)
            .flat_map(|one| one.values.clone())
            .collect()
    }

    /// The sum over all labels of which one is `label_value`, or all if that is empty.
    pub(crate) fn sum(&self, name: &str, label_value: &str) -> f64 {
        let has = |one: &&One| {
            let mut values = one.labels.iter().map(|(_, value)| value);
            label_value.is_empty() || values.any(|value| value == label_value)
        };
        let found = self.named(name).filter(has);
        found.flat_map(|one| one.values.iter()).sum()
    }

    pub(crate) fn by_labels(&self, name: &str) -> BTreeMap<String, f64> {
        let shown = |one: &One| {
            let labels = one.labels.iter();
            let labels: Vec<_> = labels
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            (labels.join(","), one.values.iter().sum())
        };
        self.named(name).map(shown).collect()
    }
}
