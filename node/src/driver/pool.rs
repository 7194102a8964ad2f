//! A few threads for work that must not hold up the engine: checking batches, answering peers.
//!
//! Jobs are bounded by whoever makes them: each carries its peer's allowance (see [`super::inbox`]).

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

type Job = Box<dyn FnOnce() + Send>;

/// The pool; dropping it lets running jobs end and forgets the others.
#[derive(Debug)]
pub(crate) struct Pool {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Queue {
    jobs: Mutex<Jobs>,
    ready: Condvar,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Queue")
    }
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    closed: bool,
}

impl Pool {
    /// Starts `threads` threads.
    ///
    /// # Errors
    /// When the system has no more threads.
    pub(crate) fn start(threads: usize) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let threads = (0..threads.max(1))
            .map(|at| {
                let queue = queue.clone();
                std::thread::Builder::new().name(format!("verify-{at}")).spawn(move || queue.work())
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { queue, threads })
    }

    /// Adds a job.
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) {
        self.queue.jobs.lock().unwrap_or_else(PoisonError::into_inner).waiting.push_back(Box::new(job));
        self.queue.ready.notify_one();
    }

    /// Jobs that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.jobs.lock().unwrap_or_else(PoisonError::into_inner).waiting.len()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut jobs = self.queue.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.closed = true;
        jobs.waiting.clear();
        drop(jobs);
        self.queue.ready.notify_all();
        let me = std::thread::current().id();
        for thread in self.threads.drain(..) {
            // The last owner may be a job of this very pool.
            if thread.thread().id() != me {
                let _ = thread.join();
            }
        }
    }
}

impl Queue {
    fn work(&self) {
        loop {
            let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
            let job = loop {
                if jobs.closed {
                    return;
                }
                if let Some(job) = jobs.waiting.pop_front() {
                    break job;
                }
                jobs = self.ready.wait(jobs).unwrap_or_else(PoisonError::into_inner);
            };
            drop(jobs);
            job();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_runs_and_dropping_the_pool_ends_it() {
        let pool = Pool::start(2).unwrap();
        let (send, receive) = std::sync::mpsc::channel();
        for n in 0..100 {
            let send = send.clone();
            pool.run(move || send.send(n).unwrap());
        }
        let mut seen: Vec<i32> = (0..100).map(|_| receive.recv().unwrap()).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
        drop(pool);
    }
}
