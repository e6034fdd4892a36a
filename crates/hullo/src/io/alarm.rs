//! Waiting until a moment more exactly than to the millisecond of the runtime's clock.

use std::{io, os::fd::OwnedFd};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::{
    io::unix::AsyncFd,
    time::{Instant, sleep_until},
};

use super::registered::registered;

/// An alarm of the kernel's (`timerfd`), or where exactness is of no use, one of the runtime's clock, which a test may pause.
pub(crate) enum Alarm {
    /// It rings within some ten microseconds.
    Kernel(AsyncFd<OwnedFd>),
    /// It rings within a millisecond.
    Runtime,
}

impl Alarm {
    /// The kernel's.
    ///
    /// # Errors
    /// There are no more descriptors.
    pub(crate) fn exact() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Self::Kernel(registered(timerfd_create(TimerfdClockId::Monotonic, flags)?)?))
    }

    /// Waits until then. Cancel-safe.
    ///
    /// # Errors
    /// The kernel's, which has no reason for one.
    pub(crate) async fn until(&self, then: Instant) -> io::Result<()> {
        let Self::Kernel(timer) = self else {
            sleep_until(then).await;
            return Ok(());
        };
        let left = then.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        let it_value = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        timerfd_settime(timer, TimerfdTimerFlags::empty(), &once)?;
        loop {
            let mut ready = timer.readable().await?;
            let rung = ready.try_io(|timer| Ok(rustix::io::read(timer, &mut [0; 8])?));
            if let Ok(rung) = rung {
                return rung.map(drop);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn an_alarm_does_not_ring_too_early() {
        for alarm in [Alarm::exact().unwrap(), Alarm::Runtime] {
            for micros in [0, 50, 700, 3_000] {
                let then = Instant::now() + Duration::from_micros(micros);
                alarm.until(then).await.unwrap();
                assert!(Instant::now() >= then);
            }
        }
    }
}
