//! What stands for the line to the other servers where it is not built in.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{Heard, Position, broker::Broker};
use crate::{
    error::{Error, Result},
    scope::Scope,
};

/// There is none.
pub(super) struct Line(Infallible);

impl Line {
    pub(super) fn open(
        _: Vec<Broker>,
        _: &str,
        _: Option<Position>,
        _: Bytes,
        _: &Scope,
    ) -> Result<(Arc<Self>, mpsc::Receiver<Heard>)> {
        Err(Error::usage("cannot join other servers: this hullo was built without NATS")
            .hint("it is the feature \"nats\" of the crate"))
    }

    pub(super) async fn publish(&self, _: &str, _: &str, _: Bytes) -> Result<bool> {
        match self.0 {}
    }

    pub(super) async fn shout(&self, _: Bytes) {
        match self.0 {}
    }

    pub(super) fn is_up(&self) -> bool {
        match self.0 {}
    }
}
