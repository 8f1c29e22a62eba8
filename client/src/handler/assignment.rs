//! The event handler of the assignment.

use std::time::Duration;

use super::{EventHandler, Outcome};
use crate::queue::Message;

/// A random number above this is an error: 15 % of the messages.
const ERROR_ABOVE: f64 = 0.85;

/// Waits a random time below `delay`, then fails on 15 % of the messages.
///
/// ```text
/// function eventHandler(msg, callback){
///     function onComplete(){
///         var error = Math.random() > 0.85;
///         callback(error, msg);
///     }
///     // processing takes time...
///     setTimeout(onComplete, Math.floor(Math.random()*1000));
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Assignment {
    delay: Duration,
}

impl Assignment {
    /// With an upper bound of the waiting time; the assignment's is 1000 ms.
    pub fn new(delay: Duration) -> Self {
        Self { delay }
    }
}

impl EventHandler for Assignment {
    async fn handle(&self, _message: &Message) -> Outcome {
        tokio::time::sleep(processing_time(self.delay, rand::random())).await;
        outcome(rand::random())
    }
}

/// floor(random × delay in ms) ms
fn processing_time(delay: Duration, random: f64) -> Duration {
    let delay_ms = delay.as_secs_f64() * 1000.0;
    Duration::from_secs_f64((random * delay_ms).floor() / 1000.0)
}

fn outcome(random: f64) -> Outcome {
    if random > ERROR_ABOVE { Err("the event handler ended in an error".to_owned()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_is_a_whole_number_of_milliseconds_below_the_bound() {
        let bound = Duration::from_millis(1000);
        assert_eq!(processing_time(bound, 0.0), Duration::ZERO);
        assert_eq!(processing_time(bound, 0.0009), Duration::ZERO);
        assert_eq!(processing_time(bound, 0.5), Duration::from_millis(500));
        assert_eq!(processing_time(bound, 0.999_999), Duration::from_millis(999));
        assert_eq!(processing_time(Duration::ZERO, 0.9), Duration::ZERO);
    }

    #[test]
    fn what_is_above_the_limit_is_an_error() {
        assert!(outcome(0.85).is_ok());
        assert!(outcome(0.850_001).is_err());
    }
}
