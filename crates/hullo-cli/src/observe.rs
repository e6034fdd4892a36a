//! What a server's operator sees: the lines of `-v`, the access log, the metrics.

use std::sync::Arc;

use hullo::{Event, Limits, Result, Scope, Server, Watch, traffic::Traffic};

use self::{access::AccessLog, meter::Meter, relays::Relays};
use crate::{
    args::Serve,
    report::{Timeline, Voice},
    verb::serve::listen,
};

pub(crate) mod access;
pub(crate) mod inspect;
pub(crate) mod lines;
pub(crate) mod live;
mod meter;
pub(crate) mod relayed;
mod relays;

/// Whoever watches a server.
pub(crate) struct Observer {
    timeline: Timeline,
    access: Option<AccessLog>,
    meter: Option<Arc<Meter>>,
}

impl Observer {
    /// The observer that the words of `hullo serve` ask for.
    pub(crate) fn of(args: &Serve, voice: Voice) -> Result<Arc<Self>> {
        let access =
            args.access_log.map(|format| AccessLog::open(format, args.access_log_file.as_deref())).transpose()?;
        Ok(Self::new(access, args.metrics.is_some(), voice))
    }

    /// The observer of relays, who tells that timeline. The `metrics` count what goes through the traffic, from the
    /// beginning for those of these names.
    pub(crate) fn of_relays(metrics: Option<(&Arc<Traffic>, Vec<Arc<str>>)>, timeline: Timeline) -> Arc<Self> {
        let meter =
            |(traffic, names): (&Arc<Traffic>, _)| Arc::new(Meter::of_relays(Relays::new(traffic.clone(), names)));
        Arc::new(Self { timeline, access: None, meter: metrics.map(meter) })
    }

    fn new(access: Option<AccessLog>, metrics: bool, voice: Voice) -> Arc<Self> {
        Arc::new(Self { timeline: Timeline::new(voice), access, meter: metrics.then(Arc::default) })
    }

    /// Sees to it that the last lines of the log are written.
    pub(crate) fn finish(&self) {
        if let Some(access) = &self.access {
            access.finish();
        }
    }

    /// Serves the metrics on that address. Who reads them is neither counted nor logged, so it is a server of its own, for
    /// as long as it is held.
    pub(crate) async fn serve_metrics(&self, address: &str, voice: Voice) -> Result<Server> {
        let mut server = Server::new(Scope::new(Limits::server(), None));
        if let Some(meter) = &self.meter {
            listen(&mut server, address, "metrics", Arc::new(meter::Page(meter.clone())), voice).await?;
        }
        Ok(server)
    }
}

impl Watch for Observer {
    fn event(&self, event: &Event<'_>) {
        if let Some(meter) = &self.meter {
            meter.event(event);
        }
        if let (Some(access), Event::Answered(answered)) = (&self.access, event) {
            access.write(answered);
        } else {
            self.timeline.event(event);
        }
    }

    fn counts(&self) -> bool {
        self.access.is_some() || self.meter.is_some() || self.timeline.counts()
    }

    fn wants_rates(&self) -> bool {
        self.timeline.wants_rates()
    }
}
