//! Spans of time as the command line has them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

type Result<T> = std::result::Result<T, String>;

/// A shorter lease could not be renewed in good time.
const SHORTEST_LEASE: Duration = Duration::from_millis(100);

/// The longest span that the commands take: ten years.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// The shortest rest that doubles at all.
const SHORTEST_REST: Duration = Duration::from_millis(1);

/// 500ms, 2s, 5m, 0; whole milliseconds, at most ten years.
pub(super) fn duration(text: &str) -> Result<Duration> {
    let span = humantime::parse_duration(text).map_err(|error| format!("{error}; write 500ms, 2s, 5m"))?;
    if span > LONGEST {
        return Err("at most ten years".to_owned());
    }
    if span.subsec_nanos() % 1_000_000 != 0 {
        return Err("whole milliseconds only".to_owned());
    }
    Ok(span)
}

/// The same for leases, which have a shortest.
pub(super) fn lease(text: &str) -> Result<Duration> {
    let span = duration(text)?;
    if span < SHORTEST_LEASE {
        return Err(format!("at least {}", humantime::format_duration(SHORTEST_LEASE)));
    }
    Ok(span)
}

/// A shortest and a longest span, written `1s..5m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// At least a millisecond.
    pub shortest: Duration,
    /// Not below the shortest.
    pub longest: Duration,
}

impl Bounds {
    /// Of the rest before a retry, unless said otherwise.
    pub const RETRY: Self = Self { shortest: Duration::from_secs(1), longest: Duration::from_secs(5 * 60) };
}

impl FromStr for Bounds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self> {
        let (shortest, longest) = text.split_once("..").ok_or("write MIN..MAX, say 1s..5m")?;
        let (shortest, longest) = (duration(shortest)?, duration(longest)?);
        if shortest < SHORTEST_REST {
            return Err("MIN is at least 1ms: nothing doubles from 0".to_owned());
        }
        if longest < shortest {
            return Err("MAX is shorter than MIN".to_owned());
        }
        Ok(Self { shortest, longest })
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", humantime::format_duration(self.shortest), humantime::format_duration(self.longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_with_a_unit_and_mean_whole_milliseconds() {
        for (text, millis) in [("500ms", 500), ("2s", 2_000), ("5m", 300_000), ("1m 30s", 90_000), ("0", 0), ("0s", 0)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "ten", "-1s", "1us", "11y", "1.5s s"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(lease("99ms").is_err() && lease("100ms").is_ok());
    }

    #[test]
    fn bounds_are_two_durations_in_order() {
        assert_eq!("1s..5m".parse(), Ok(Bounds::RETRY));
        let equal = Bounds { shortest: Duration::from_millis(200), longest: Duration::from_millis(200) };
        assert_eq!("200ms..200ms".parse(), Ok(equal));
        for text in ["", "1s", "1s..", "..5m", "5m..1s", "0..5m", "1s...5m", "1s..5m..6m", "1s-5m"] {
            assert!(text.parse::<Bounds>().is_err(), "{text}");
        }
    }

    #[test]
    fn bounds_are_shown_as_they_are_read() {
        for bounds in [Bounds::RETRY, Bounds { shortest: SHORTEST_REST, longest: Duration::from_millis(90_500) }] {
            assert_eq!(bounds.to_string().parse(), Ok(bounds), "{bounds}");
        }
    }
}
