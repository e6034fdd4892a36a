//! `hullo relay :9000 db:5432 --metrics http://127.0.0.1:9090`: what relays do, counted when somebody asks.

use std::{collections::BTreeMap, fmt, sync::Arc};

use hullo::traffic::{Total, Traffic, Way};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

/// The counters of relays. They are read from the traffic itself, so that they move while a conversation goes on.
pub(super) struct Relays {
    traffic: Arc<Traffic>,
    /// Those that are there before anybody comes.
    names: Vec<Arc<str>>,
}

impl Relays {
    pub(super) fn new(traffic: Arc<Traffic>, names: Vec<Arc<str>>) -> Self {
        Self { traffic, names }
    }

    fn totals(&self) -> BTreeMap<Arc<str>, Total> {
        let mut totals = self.traffic.totals();
        for name in &self.names {
            totals.entry(name.clone()).or_default();
        }
        totals
    }
}

impl fmt::Debug for Relays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relays").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Collector for Relays {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let totals = self.totals();
        let mut live: BTreeMap<&str, i64> = totals.keys().map(|relay| (&**relay, 0)).collect();
        let flows = self.traffic.live();
        for flow in &flows {
            *live.entry(&flow.relay).or_default() += 1;
        }
        let about = "Conversations that were relayed, those that go on included";
        let mut family = encoder.encode_descriptor("relay_flows", about, None, MetricType::Counter)?;
        for (relay, total) in &totals {
            ConstCounter::new(total.flows).encode(family.encode_family(&[("relay", &**relay)])?)?;
        }
        let about = "Conversations that are being relayed";
        let mut family = encoder.encode_descriptor("relay_live_flows", about, None, MetricType::Gauge)?;
        for (relay, count) in live {
            ConstGauge::new(count).encode(family.encode_family(&[("relay", relay)])?)?;
        }
        let about = "Bytes that were relayed: up is from clients to servers";
        let mut family = encoder.encode_descriptor("relay", about, Some(&Unit::Bytes), MetricType::Counter)?;
        for (relay, total) in &totals {
            for (way, bytes) in [(Way::Up, total.up), (Way::Down, total.down)] {
                let labels = [("relay", relay.to_string()), ("way", way.to_string())];
                ConstCounter::new(bytes).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
