//! One worker's stream, from its Hello to its end.
//!
//! Three loops serve it side by side, so that none waits behind another: one reads what comes up and sorts it
//! ([`listen`]), one deals with reports, which may wait for the database ([`settle`]), and one keeps the pulse: it
//! renews the worker and sends orders down. A stream that is slow to take its orders loses its pulse, and its worker
//! is then given up like one that fell silent.

mod inbox;
mod listen;
mod settle;

use std::sync::Arc;
use std::time::Duration;

use kinora_ids::LeaseRef;
use kinora_proto::scheduler::v1 as pb;
use kinora_proto::scheduler::v1::attach_request::Message as Up;
use kinora_proto::scheduler::v1::attach_response::Message as Down;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tonic::{Status, Streaming};

use self::inbox::Inbox;
use super::convert::{duration_to_pb, grant_to_pb, lease_to_pb};
use super::reports::{Beat, greeting_from_pb};
use crate::app::{App, Greeting};
use crate::domain::transition::Reporter;
use crate::error::Error;
use crate::sessions::{Order, Registration, Seat, Standing};

type Answers = mpsc::Sender<Result<pb::AttachResponse, Status>>;

/// How long a worker may take to say who it is.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a stream ends without an error.
enum End {
    /// The worker left, or its connection broke.
    WorkerLeft,
    /// The scheduler stops.
    Shutdown,
}

/// What the loops of a stream share.
struct Session {
    app: Arc<App>,
    seat: Arc<Seat>,
    inbox: Inbox,
    /// The newest heartbeat.
    beat: watch::Sender<Option<Beat>>,
    down: Answers,
}

/// Serves a worker's stream. Its jobs stay leased when it ends: the worker may attach again.
pub async fn serve(app: Arc<App>, mut up: Streaming<pb::AttachRequest>, down: Answers) {
    let ended = async {
        let greeting = hello(&app, &mut up).await?;
        let (session, registration) = begin(app, greeting, down.clone()).await?;
        session.run(&mut up, registration).await
    };
    match ended.await {
        Ok(End::WorkerLeft | End::Shutdown) => {}
        Err(error) => {
            // Fails when the worker has left.
            let _ = down.send(Err(error.into())).await;
        }
    }
}

async fn hello(app: &App, up: &mut Streaming<pb::AttachRequest>) -> Result<Greeting, Error> {
    let missing = Error::WorkerMessage {
        field: "hello",
        problem: "must be the first message",
    };
    let first = tokio::select! {
        first = timeout(HELLO_TIMEOUT, up.message()) => first,
        () = app.shutdown.cancelled() => return Err(Error::ShuttingDown),
    };
    match first {
        Ok(Ok(Some(pb::AttachRequest {
            message: Some(Up::Hello(hello)),
        }))) => greeting_from_pb(hello),
        Ok(Err(status)) if listen::is_too_large(&status) => Err(listen::too_large()),
        _ => Err(missing),
    }
}

/// Takes the worker's name, settles its leases and welcomes it.
async fn begin(
    app: Arc<App>,
    greeting: Greeting,
    down: Answers,
) -> Result<(Session, Registration), Error> {
    let offer = greeting.offer();
    let registration = app.sessions.register(offer, app.options().worker_ttl)?;
    let seat = Arc::clone(&registration.seat);
    let reconciled = tokio::select! {
        reconciled = app.attach(greeting, seat.session) => reconciled?,
        // It may be attached elsewhere by now: what is not written yet must not take that stream's place.
        () = down.closed() => return Err(Error::Superseded),
        () = seat.superseded.cancelled() => return Err(Error::Superseded),
    };
    let session = Session {
        app,
        seat,
        inbox: Inbox::default(),
        beat: watch::Sender::new(None),
        down,
    };
    let welcome = pb::Welcome {
        heartbeat_interval: Some(duration_to_pb(session.app.options().heartbeat_interval)),
        revoked: reconciled.stale.into_iter().map(lease_to_pb).collect(),
    };
    // A worker that left is noticed by the first read.
    let _ = session.send(Down::Welcome(welcome)).await;
    session.seat.heed(reconciled.wishes);
    let mut running = reconciled.running;
    let standing = reconciled.standing.into_iter().map(|lease| {
        let found = running.iter().position(|job| job.newest_lease() == lease);
        let job = found.map(|at| running.swap_remove(at));
        Standing { lease, job }
    });
    let mut standing: Vec<Standing> = standing.collect();
    standing.extend(reconciled.untold.iter().map(|job| Standing {
        lease: job.newest_lease(),
        job: Some(job.clone()),
    }));
    for job in reconciled.untold {
        tracing::info!(job_id = %job.id, lease = job.lease, worker_id = session.seat.offer.worker, "lease told again");
        session.seat.tell(Order::Grant(Box::new(job)));
    }
    session.seat.open(standing);
    Ok((session, registration))
}

impl Session {
    async fn run(
        &self,
        up: &mut Streaming<pb::AttachRequest>,
        mut registration: Registration,
    ) -> Result<End, Error> {
        let talk = async {
            // What came before the worker left is dealt with; an error ends both.
            tokio::try_join!(self.listen(up), self.settle())?;
            Ok(End::WorkerLeft)
        };
        let ended = tokio::select! {
            ended = talk => ended,
            ended = self.pulse(&mut registration.orders) => ended,
        };
        self.seat.close();
        self.leave(&mut registration.orders).await;
        if matches!(ended, Ok(End::WorkerLeft)) {
            tracing::info!(worker_id = self.seat.offer.worker, "worker's stream ended");
        }
        ended
    }

    /// Takes back what was leased and not sent, and notes that the stream has ended.
    async fn leave(&self, orders: &mut mpsc::UnboundedReceiver<Order>) {
        let worker = &self.seat.offer.worker;
        orders.close();
        while let Some(order) = orders.recv().await {
            if let Order::Grant(job) = order {
                self.app.take_back(worker, &job).await;
            }
        }
        self.app.detach(worker, self.seat.session).await;
    }

    /// Renews the worker with every heartbeat, and sends orders down.
    async fn pulse(&self, orders: &mut mpsc::UnboundedReceiver<Order>) -> Result<End, Error> {
        let mut beats = self.beat.subscribe();
        let shutdown = self.app.shutdown.clone();
        loop {
            let is_connected = tokio::select! {
                // It goes first: a worker without a pulse loses its leases.
                biased;
                () = self.seat.superseded.cancelled() => return Err(Error::Superseded),
                () = shutdown.cancelled() => return Ok(End::Shutdown),
                Ok(()) = beats.changed() => {
                    let beat = beats.borrow_and_update().clone();
                    self.heartbeat(beat).await?
                }
                Some(order) = orders.recv() => self.obey(order).await,
            };
            if !is_connected {
                return Ok(End::WorkerLeft);
            }
        }
    }

    /// Renews the worker and takes leases from it that no longer stand. False when it has left.
    async fn heartbeat(&self, beat: Option<Beat>) -> Result<bool, Error> {
        let Some(beat) = beat else {
            return Ok(true);
        };
        let reported = beat.held;
        let device = beat.device.filter(|device| self.seat.is_news(device));
        // Ours, too: those granted a moment ago may have been cancelled at another replica.
        let held = self.seat.beat(&reported, beat.is_draining, device.clone());
        let (worker, session) = (&self.seat.offer.worker, self.seat.session);
        let renewed = self
            .app
            .heartbeat(worker, session, beat.is_draining, device.as_ref(), &held);
        let (wishes, stale) = renewed.await?;
        self.seat.heed(wishes);
        for lease in stale {
            let is_reported = reported.contains(&lease);
            if self.seat.stop(lease, is_reported) && !self.send(revocation(lease)).await {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sends an order down. False when the stream is to end, or the worker has left.
    async fn obey(&self, order: Order) -> bool {
        let message = match order {
            Order::Grant(job) => Down::Grant(grant_to_pb(*job, self.app.options().time_limit)),
            // What it does not hold yet may be on its way; the heartbeat that names it tells.
            Order::Revoke(lease) if !self.seat.stop(lease, false) => return true,
            Order::Revoke(lease) => revocation(lease),
            Order::Preempt(lease) if !self.seat.stands(lease) => return true,
            Order::Preempt(lease) => Down::Preemption(pb::Preemption {
                lease: Some(lease_to_pb(lease)),
            }),
            Order::Drain => Down::Drain(pb::DrainOrder {}),
            Order::AttachAgain => return false,
        };
        self.send(message).await
    }

    fn reporter(&self, lease: LeaseRef) -> Reporter<'_> {
        Reporter {
            worker: &self.seat.offer.worker,
            lease,
        }
    }

    /// False when the worker has left.
    async fn send(&self, message: Down) -> bool {
        let answer = pb::AttachResponse {
            message: Some(message),
        };
        self.down.send(Ok(answer)).await.is_ok()
    }
}

fn revocation(lease: LeaseRef) -> Down {
    let lease = Some(lease_to_pb(lease));
    Down::Revocation(pb::Revocation { lease })
}
