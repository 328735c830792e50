use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::*;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Doubles numbers, when it is let.
struct Doubler {
    lines: Lines<u32, u32>,
    lets: Semaphore,
    begun: AtomicUsize,
    /// What was done together, in order.
    done: Mutex<Vec<Vec<u32>>>,
    fails_together: AtomicBool,
}

fn payer() -> Payer {
    Payer::User(Uuid::nil())
}

impl Doubler {
    fn new(lets: usize) -> Arc<Self> {
        Arc::new(Self {
            lines: Lines::new(),
            lets: Semaphore::new(lets),
            begun: AtomicUsize::new(0),
            done: Mutex::new(Vec::new()),
            fails_together: AtomicBool::new(false),
        })
    }

    async fn double(self: Arc<Self>, number: u32, weight: usize) -> Result<u32, Error> {
        let work = |calls| self.work(calls);
        self.lines.call(payer(), number, weight, work).await
    }

    async fn work(&self, calls: Vec<Arc<u32>>) -> Result<Vec<u32>, Error> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.lets
            .acquire()
            .await
            .expect("it is never closed")
            .forget();
        let calls: Vec<u32> = calls.iter().map(|call| **call).collect();
        if self.fails_together.load(Ordering::SeqCst) && (calls.len() > 1 || calls == [7]) {
            return Err(Error::Broken(format!("{calls:?}")));
        }
        self.done.lock().push(calls.clone());
        Ok(calls.iter().map(|number| number * 2).collect())
    }

    /// Waits until work has begun so often, and so many others stand behind it.
    async fn stands(&self, begun: usize, waiting: usize) {
        kinora_testkit::wait::until("the line", PATIENCE, || async {
            let lines = self.lines.0.lock();
            let line = lines.get(&payer());
            let now = (
                self.begun.load(Ordering::SeqCst),
                line.map_or(0, |line| line.waiting.lock().len()),
            );
            (now == (begun, waiting)).then_some(()).ok_or(now)
        })
        .await;
    }

    /// Lets one call begin, and then others stand behind it, one after the other.
    async fn line_up(self: &Arc<Self>, calls: &[(u32, usize)]) -> JoinSet<Result<u32, Error>> {
        let mut running = JoinSet::new();
        for (place, &(number, weight)) in calls.iter().enumerate() {
            running.spawn(Arc::clone(self).double(number, weight));
            self.stands(1, place).await;
        }
        running
    }

    fn done(&self) -> Vec<Vec<u32>> {
        self.done.lock().clone()
    }

    /// Nobody stands in a line any more.
    fn is_empty(&self) -> bool {
        self.lines.0.lock().is_empty()
    }
}

async fn answers(running: JoinSet<Result<u32, Error>>) -> Vec<u32> {
    let mut answers: Vec<u32> = running.join_all().await.into_iter().flatten().collect();
    answers.sort_unstable();
    answers
}

#[tokio::test]
async fn calls_that_wait_are_done_together_in_their_order() {
    let doubler = Doubler::new(0);
    let running = doubler.line_up(&[(1, 1), (2, 1), (3, 1), (4, 1)]).await;
    doubler.lets.add_permits(2);
    assert_eq!(answers(running).await, [2, 4, 6, 8]);
    assert_eq!(doubler.done(), [vec![1], vec![2, 3, 4]]);
    assert!(doubler.is_empty());
}

#[tokio::test]
async fn calls_of_other_payers_wait_for_nobody() {
    let doubler = Doubler::new(0);
    let running = doubler.line_up(&[(1, 1)]).await;
    let other = Payer::Organisation(Uuid::nil());
    let answer = doubler.lines.call(other, 5, 1, |calls| async move {
        assert_eq!(calls, [Arc::new(5)]);
        Ok(vec![10])
    });
    assert_eq!(answer.await.unwrap(), 10);
    doubler.lets.add_permits(1);
    assert_eq!(answers(running).await, [2]);
    assert!(doubler.is_empty());
}

#[tokio::test]
async fn what_is_done_together_is_bounded() {
    let doubler = Doubler::new(0);
    let calls = [
        (1, 1),
        (2, MOST),
        (3, MOST + 1),
        (4, MOST - 1),
        (5, 1),
        (6, 1),
    ];
    let running = doubler.line_up(&calls).await;
    doubler.lets.add_permits(calls.len());
    assert_eq!(answers(running).await, [2, 4, 6, 8, 10, 12]);
    assert_eq!(
        doubler.done(),
        [vec![1], vec![2], vec![3], vec![4, 5], vec![6]]
    );
}

#[tokio::test]
async fn who_goes_away_takes_nobody_along() {
    let doubler = Doubler::new(0);
    let first = tokio::spawn(Arc::clone(&doubler).double(1, 1));
    doubler.stands(1, 0).await;
    let mut running = JoinSet::new();
    for number in 2..5 {
        running.spawn(Arc::clone(&doubler).double(number, 1));
        let waiting = usize::try_from(number).unwrap() - 1;
        doubler.stands(1, waiting).await;
    }
    first.abort();
    // Who is next takes all others.
    doubler.stands(2, 0).await;
    running.spawn(Arc::clone(&doubler).double(5, 1));
    doubler.stands(2, 1).await;
    doubler.lets.add_permits(2);
    assert_eq!(answers(running).await, [4, 6, 8, 10]);
    assert_eq!(doubler.done(), [vec![2, 3, 4], vec![5]]);
    assert!(doubler.is_empty());
}

#[tokio::test]
async fn calls_of_one_who_went_away_at_work_are_done_by_the_next() {
    let doubler = Doubler::new(0);
    let mut running = doubler.line_up(&[(1, 1)]).await;
    let second = tokio::spawn(Arc::clone(&doubler).double(2, 1));
    doubler.stands(1, 1).await;
    for number in [3, 4] {
        running.spawn(Arc::clone(&doubler).double(number, 1));
    }
    doubler.stands(1, 3).await;
    doubler.lets.add_permits(1);
    doubler.stands(2, 0).await;
    second.abort();
    doubler.stands(3, 0).await;
    doubler.lets.add_permits(1);
    assert_eq!(answers(running).await, [2, 6, 8]);
    let mut last = doubler.done().pop().unwrap();
    last.sort_unstable();
    assert_eq!(last, [3, 4]);
    assert!(doubler.is_empty());
}

#[tokio::test]
async fn one_who_went_away_while_waiting_is_passed_over() {
    let doubler = Doubler::new(0);
    let mut running = doubler.line_up(&[(1, 1)]).await;
    let second = tokio::spawn(Arc::clone(&doubler).double(2, 1));
    doubler.stands(1, 1).await;
    running.spawn(Arc::clone(&doubler).double(3, 1));
    doubler.stands(1, 2).await;
    second.abort();
    assert!(second.await.unwrap_err().is_cancelled());
    doubler.lets.add_permits(2);
    assert_eq!(answers(running).await, [2, 6]);
    assert_eq!(doubler.done(), [vec![1], vec![3]]);
}

#[tokio::test]
async fn an_error_is_told_to_the_call_that_it_is_of() {
    let doubler = Doubler::new(0);
    let mut running = doubler.line_up(&[(1, 1), (6, 1), (7, 1), (8, 1)]).await;
    doubler.fails_together.store(true, Ordering::SeqCst);
    doubler.lets.add_permits(5);
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    while let Some(answer) = running.join_next().await {
        match answer.unwrap() {
            Ok(answer) => done.push(answer),
            Err(error) => failed.push(error.to_string()),
        }
    }
    done.sort_unstable();
    assert_eq!((done, failed), (vec![2, 12, 16], vec!["[7]".to_owned()]));
    let alone = Arc::clone(&doubler).double(7, 1);
    doubler.lets.add_permits(1);
    assert_eq!(alone.await.unwrap_err().to_string(), "[7]");
    assert!(doubler.is_empty());
}
