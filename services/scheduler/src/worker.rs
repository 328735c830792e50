//! Background loops.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use kinora_mesh::error::chain;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::clock::{CLOCK_STEP, RESET_INTERVAL};
use crate::domain::job::Time;

/// Months are not in a hurry.
const MONTHS_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// A database that takes longer than this to answer the reaper is away.
const REAP_TIMEOUT: Duration = Duration::from_secs(30);

/// At the end, what billing is being told has this long.
const LAST_ROUND: Duration = Duration::from_secs(3);

/// What two clocks have done between two looks.
#[derive(Debug)]
struct Jump {
    by_the_time: TimeDelta,
    /// May not count while the machine sleeps.
    by_the_steady_clock: TimeDelta,
}

impl Jump {
    fn between(before: (Time, Instant), after: (Time, Instant)) -> Self {
        let steady = after.1.duration_since(before.1);
        Self {
            by_the_time: after.0 - before.0,
            by_the_steady_clock: TimeDelta::from_std(steady).unwrap_or(TimeDelta::MAX),
        }
    }

    /// Whether the clock was set, or the machine or the process stood still for longer than `patience`.
    fn is_break(&self, patience: Duration) -> bool {
        let step = TimeDelta::from_std(CLOCK_STEP).unwrap_or_default();
        let patience = TimeDelta::from_std(patience).unwrap_or(TimeDelta::MAX);
        let difference = self.by_the_time.checked_sub(&self.by_the_steady_clock);
        self.by_the_time > patience || difference.is_none_or(|it| it.abs() > step)
    }
}

/// Takes jobs from workers that fell silent, until stopped.
pub async fn reap(app: Arc<App>, stop: CancellationToken) {
    // Workers are only lost by silence while they could be heard.
    let mut listening_since = Instant::now();
    let mut last_tick = (app.now(), Instant::now());
    let mut ticks = interval(app.options().reap_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let tick = (app.now(), Instant::now());
        let jump = Jump::between(last_tick, tick);
        last_tick = tick;
        if jump.is_break(app.options().reap_interval + app.options().worker_ttl) {
            tracing::warn!(?jump, "the clock jumped; workers get their time again");
            // Other replicas, by whose clocks theirs are heard, may notice a little later.
            listening_since = Instant::now() + 2 * RESET_INTERVAL;
        }
        let reaped = tokio::select! {
            () = stop.cancelled() => return,
            reaped = timeout(REAP_TIMEOUT, app.reap(listening_since.elapsed())) => reaped,
        };
        match reaped {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = %chain(&error), "lost workers were not looked for");
                listening_since = Instant::now();
            }
            Err(_) => {
                tracing::warn!("the database did not answer the reaper");
                listening_since = Instant::now();
            }
        }
    }
}

/// Removes objects that nobody needs any more, until stopped.
pub async fn sweep(app: Arc<App>, stop: CancellationToken) {
    let mut ticks = interval(app.options().sweep_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        // A removal that hangs must not keep the process from ending; it is tried again later.
        tokio::select! {
            () = stop.cancelled() => return,
            swept = app.sweep() => if let Err(error) = swept {
                tracing::warn!(error = %chain(&error), "objects were not swept");
            }
        }
    }
}

/// Tells billing what has become of holds, until stopped. Ends at once where nothing costs anything.
pub async fn settle(app: Arc<App>, stop: CancellationToken) {
    if !app.has_billing() {
        return;
    }
    let mut ticks = interval(app.options().settle_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let mut round = Box::pin(app.settle());
        tokio::select! {
            () = stop.cancelled() => {
                // What is cut off is told once more by whoever comes next, a minute later.
                let _ = timeout(LAST_ROUND, round).await;
                return;
            }
            settled = &mut round => if let Err(error) = settled {
                tracing::warn!(error = %chain(&error), "billing was not told what is due");
            }
        }
    }
}

/// Compares holds with jobs, until stopped. Ends at once where nothing costs anything.
pub async fn sweep_holds(app: Arc<App>, stop: CancellationToken) {
    if !app.has_billing() {
        return;
    }
    let mut ticks = interval(app.options().hold_sweep_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = ticks.tick() => {}
        }
        tokio::select! {
            () = stop.cancelled() => break,
            swept = app.sweep_holds() => if let Err(error) = swept {
                tracing::warn!(error = %chain(&error), "holds were not compared with jobs");
            }
        }
    }
    // A database that is away must not keep the process from ending.
    let _ = timeout(REAP_TIMEOUT, app.hand_over_holds()).await;
}

/// Expires and forgets jobs whose time is over, until stopped.
pub async fn upkeep(app: Arc<App>, stop: CancellationToken) {
    let mut ticks = interval(app.options().upkeep_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = ticks.tick() => {}
        }
        tokio::select! {
            () = stop.cancelled() => break,
            kept = app.upkeep() => if let Err(error) = kept {
                tracing::warn!(error = %chain(&error), "jobs whose time is over were not looked for");
            }
        }
    }
    // A database that is away must not keep the process from ending.
    let _ = timeout(REAP_TIMEOUT, app.hand_over_upkeep()).await;
}

/// Keeps tables for the months of ended jobs, until stopped.
pub async fn keep_months(app: Arc<App>, stop: CancellationToken) {
    let mut ticks = interval(MONTHS_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            kept = app.keep_months() => if let Err(error) = kept {
                tracing::warn!(error = %chain(&error), "tables of months were not looked after; trying again later");
            }
        }
    }
}

/// Acts on what other replicas say, until stopped.
pub async fn hear(app: Arc<App>, stop: CancellationToken) {
    app.hear(&stop).await;
}

/// Stores progress that no later report has stored, until stopped.
pub async fn store_progress(app: Arc<App>, stop: CancellationToken) {
    let mut ticks = interval(app.options().progress_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            stored = app.store_late_progress() => if let Err(error) = stored {
                tracing::warn!(error = %chain(&error), "progress was not stored");
            }
        }
    }
}

/// Shows operators what waits, what runs and who works, until stopped.
pub async fn measure(app: Arc<App>, stop: CancellationToken) {
    let mut ticks = interval(app.options().measure_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            measured = app.measure() => if let Err(error) = measured {
                tracing::warn!(error = %chain(&error), "the queue was not measured");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_break(by_the_time_ms: i64, by_the_steady_clock_ms: i64) -> bool {
        let jump = Jump {
            by_the_time: TimeDelta::milliseconds(by_the_time_ms),
            by_the_steady_clock: TimeDelta::milliseconds(by_the_steady_clock_ms),
        };
        jump.is_break(Duration::from_secs(5))
    }

    #[test]
    fn steps_either_way_and_long_stops_are_breaks() {
        assert!(!is_break(250, 250));
        assert!(!is_break(1_100, 250));
        assert!(!is_break(4_900, 4_900));
        assert!(is_break(3_600_250, 250));
        assert!(is_break(-3_599_750, 250));
        // The process was stopped; the machine slept.
        assert!(is_break(60_000, 60_000));
        assert!(is_break(60_000, 250));
    }
}
