//! `hullo relay --fault down,first=3 :9000 tcp://db:5432`: nobody is there.
//!
//! A new conversation is ended at once, and nobody is dialled for it. Those that are going on go on.

use std::sync::Arc;

use super::{
    On, Spec,
    stage::{Kind, Pass, Place, Stage},
    words::Words,
};
use crate::error::Result;

/// This fault's line of the table.
pub(super) const SPEC: Spec = Spec {
    name: "down",
    about: "a new conversation is ended at once, and nobody is dialled for it",
    example: "down,first=3",
    unit: "",
    attributes: &[],
    on: On::Conversations,
    read,
};

fn read(_: &mut Words<'_>) -> Result<Arc<dyn Kind>> {
    Ok(Arc::new(Down))
}

struct Down;

impl Kind for Down {
    fn words(&self) -> String {
        String::new()
    }

    fn stage(&self, _: &Place<'_>) -> Box<dyn Stage> {
        Box::new(Pass)
    }
}
