//! An answer that begins only when the question has ended.

use std::{sync::Arc, time::Duration};

use hullo::{Error, Link, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep},
};

use crate::{
    Row,
    cell::{Cell, through},
    common::{By, in_time},
};

pub(crate) async fn keeps_a_late_answer(row: Row) {
    let late = if row.name.starts_with("memory") {
        tokio::time::pause();
        Duration::from_secs(1)
    } else {
        Duration::from_millis(20)
    };
    let cell = Cell::new(row, "", Arc::new(By(move |link| answer_late(link, late)))).await;
    let asked = Instant::now();
    let answer = in_time(row.name, through(cell.dial().await, b"question")).await;
    assert_eq!(String::from_utf8_lossy(&answer), "0123456789", "{}", row.name);
    assert!(asked.elapsed() >= late, "{}: it was answered before the end", row.name);
}

/// Reads to the end, and only then begins to think.
async fn answer_late(link: Link, late: Duration) -> Result<()> {
    let mut stream = link.stream();
    let answered = async {
        let mut question = String::new();
        stream.read_to_string(&mut question).await?;
        assert_eq!(question, "question");
        sleep(late).await;
        // A write of nothing is not the end, and no message.
        stream.write_all(b"").await?;
        assert_eq!(stream.write(b"").await?, 0);
        stream.write_all(b"0123456789").await?;
        stream.shutdown().await
    };
    answered.await.map_err(|error| Error::io("cannot answer late", error))
}
