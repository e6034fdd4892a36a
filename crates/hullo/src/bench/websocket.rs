//! WebSockets under load.

use std::sync::Arc;

use super::{Ask, codec::Opened};
use crate::{address::Address, error::{Error, Kind, Result}, scope::Scope};

pub(super) async fn open(_: &Address, _: &Arc<Ask>, _: &Scope) -> Result<Opened> {
    Err(Error::new(Kind::Other, "under construction"))
}
