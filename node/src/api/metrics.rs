//! `/metrics` in the OpenMetrics text format.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::StatusCode;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::handle::Metric;

type Labels = Vec<(String, String)>;

/// Requests answered, by class of status.
#[derive(Debug, Default)]
pub(super) struct Counters {
    classes: [AtomicU64; 6],
    pub(super) connections: AtomicU64,
}

impl Counters {
    /// Counts one answer.
    pub(super) fn answered(&self, status: StatusCode) {
        self.classes[usize::from(status.as_u16() / 100).min(5)].fetch_add(1, Ordering::Relaxed);
    }

    /// As samples.
    #[expect(clippy::cast_precision_loss, reason = "samples are floats")]
    pub(super) fn samples(&self) -> Vec<Metric> {
        let classes = self.classes.iter().enumerate().skip(1).map(|(class, count)| Metric {
            name: "http_requests",
            help: "Requests answered, by class of status.",
            counter: true,
            labels: vec![("class", format!("{class}xx"))],
            value: count.load(Ordering::Relaxed) as f64,
        });
        let connections = Metric {
            name: "http_connections",
            help: "Connections of clients accepted.",
            counter: true,
            labels: Vec::new(),
            value: self.connections.load(Ordering::Relaxed) as f64,
        };
        classes.chain([connections]).collect()
    }
}

/// Writes samples; those of one name form a family and must agree on kind and help.
pub(super) fn exposition(samples: Vec<Metric>) -> Result<String, std::fmt::Error> {
    let mut families: BTreeMap<&'static str, Vec<Metric>> = BTreeMap::new();
    for sample in samples {
        families.entry(sample.name).or_default().push(sample);
    }
    let mut registry = Registry::with_prefix("city");
    for (name, samples) in families {
        let Some(first) = samples.first() else { continue };
        // The registry ends the help with a full stop of its own.
        let help = first.help.trim_end_matches('.');
        if first.counter {
            let family = Family::<Labels, Counter<f64, AtomicU64>>::default();
            for sample in &samples {
                family.get_or_create(&labels(sample)).inc_by(sample.value.max(0.0));
            }
            registry.register(name, help, family);
        } else {
            let family = Family::<Labels, Gauge<f64, AtomicU64>>::default();
            for sample in &samples {
                family.get_or_create(&labels(sample)).set(sample.value);
            }
            registry.register(name, help, family);
        }
    }
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

fn labels(sample: &Metric) -> Labels {
    sample.labels.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_written_once_with_prefix_and_labels() {
        let gauge = |peer: &str, value| Metric {
            name: "peer_height",
            help: "Height of a peer.",
            counter: false,
            labels: vec![("peer", peer.to_owned())],
            value,
        };
        let counters = Counters::default();
        counters.answered(StatusCode::OK);
        let mut samples = vec![gauge("a", 1.0), gauge("b\"\n", 2.0)];
        samples.extend(counters.samples());
        let text = exposition(samples).unwrap();
        assert_eq!(text.matches("# HELP city_peer_height Height of a peer.\n").count(), 1, "{text}");
        assert!(text.contains("city_peer_height{peer=\"a\"} 1"), "{text}");
        assert!(text.contains(r#"city_peer_height{peer="b\"\n"} 2"#), "{text}");
        assert!(text.contains("city_http_requests_total{class=\"2xx\"} 1"), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }
}
