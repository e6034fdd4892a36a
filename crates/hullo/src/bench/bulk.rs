//! Under construction.

use std::sync::Arc;

use super::thread::Thread;
use crate::error::{Error, Kind};

pub(super) async fn connection(thread: Arc<Thread>, _seat: usize) {
    thread.ready(Some(Error::new(Kind::Other, "under construction"))).await;
}
