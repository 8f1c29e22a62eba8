//! The judgement, from evidence alone: no server, no command, no counter of the module.

use std::collections::HashMap;
use std::fmt;

/// Of each kind of fault, so many numbers are named.
const EXAMPLES: usize = 10;

/// What was found after a run.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The generators' sequence at the end: the number that the next one would have carried.
    pub generated: u64,
    /// Byte *n*: how often number *n* was processed.
    pub processed: Vec<u8>,
    /// Byte *n*: how often number *n* failed.
    pub failed: Vec<u8>,
    /// What `getErrors` printed.
    pub errors: Vec<u8>,
}

/// What the evidence says about the numbers 0 … messages − 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How many numbers there should be.
    pub messages: u32,
    /// How many the generators numbered.
    pub generated: u64,
    /// Processed exactly once, and never failed.
    pub processed: u64,
    /// Failed exactly once, and never processed.
    pub failed: u64,
    /// Never completed.
    pub lost: Faults,
    /// Completed more than once.
    pub doubled: Faults,
    /// Completed, though nobody should have generated them.
    pub foreign: Faults,
    /// Failed, but not printed by getErrors.
    pub unprinted: Faults,
    /// Printed by getErrors more than once.
    pub printed_twice: Faults,
    /// Lines of getErrors that are no failed number.
    pub misprinted: u64,
}

/// How many numbers are at fault in one way, and the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// How many.
    pub count: u64,
    /// The first few.
    pub examples: Vec<u64>,
}

impl Faults {
    fn add(&mut self, number: u64) {
        self.count += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(number);
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.count)?;
        if self.examples.is_empty() {
            return Ok(());
        }
        let examples: Vec<String> = self.examples.iter().map(u64::to_string).collect();
        let more = if self.count > self.examples.len() as u64 { " …" } else { "" };
        write!(f, "   ({}{more})", examples.join(", "))
    }
}

impl Verdict {
    /// Whether every number below `messages` was generated and completed exactly once, nothing else was, and getErrors
    /// printed exactly the failed ones.
    pub fn holds(&self) -> bool {
        [&self.lost, &self.doubled, &self.foreign, &self.unprinted, &self.printed_twice]
            .iter()
            .all(|faults| faults.count == 0)
            && self.misprinted == 0
            && self.generated == u64::from(self.messages)
            && self.processed + self.failed == u64::from(self.messages)
    }
}

/// Compares the ledger with 0 … messages − 1, and the lines of getErrors with the failed half of the ledger.
pub fn judge(messages: u32, evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict {
        messages,
        generated: evidence.generated,
        processed: 0,
        failed: 0,
        lost: Faults::default(),
        doubled: Faults::default(),
        foreign: Faults::default(),
        unprinted: Faults::default(),
        printed_twice: Faults::default(),
        misprinted: 0,
    };
    let count = |half: &[u8], number: usize| half.get(number).copied().unwrap_or(0);
    let end = evidence.processed.len().max(evidence.failed.len()).max(messages as usize);
    for number in 0..end {
        let (processed, failed) = (count(&evidence.processed, number), count(&evidence.failed, number));
        let expected = number < messages as usize;
        match (processed, failed) {
            (0, 0) if expected => verdict.lost.add(number as u64),
            (0, 0) => {}
            _ if !expected => verdict.foreign.add(number as u64),
            (1, 0) => verdict.processed += 1,
            (0, 1) => verdict.failed += 1,
            _ => verdict.doubled.add(number as u64),
        }
    }
    compare_errors(&mut verdict, evidence);
    verdict
}

fn compare_errors(verdict: &mut Verdict, evidence: &Evidence) {
    let mut printed: HashMap<usize, u64> = HashMap::new();
    for line in evidence.errors.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let number = std::str::from_utf8(line).ok().and_then(|line| line.parse::<usize>().ok());
        match number.filter(|number| evidence.failed.get(*number).is_some_and(|failed| *failed > 0)) {
            Some(number) => *printed.entry(number).or_default() += 1,
            None => verdict.misprinted += 1,
        }
    }
    for (number, _) in evidence.failed.iter().enumerate().filter(|(_, failed)| **failed > 0) {
        match printed.get(&number) {
            Some(1) => {}
            Some(_) => verdict.printed_twice.add(number as u64),
            None => verdict.unprinted.add(number as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten messages; 3 and 7 failed.
    fn sound() -> Evidence {
        Evidence {
            generated: 10,
            processed: vec![1, 1, 1, 0, 1, 1, 1, 0, 1, 1],
            failed: vec![0, 0, 0, 1, 0, 0, 0, 1],
            errors: b"7\n3\n".to_vec(),
        }
    }

    fn verdict_after(forge: impl FnOnce(&mut Evidence)) -> Verdict {
        let mut evidence = sound();
        forge(&mut evidence);
        judge(10, &evidence)
    }

    #[test]
    fn sound_evidence_holds() {
        let verdict = judge(10, &sound());
        assert!(verdict.holds(), "{verdict:?}");
        assert_eq!((verdict.processed, verdict.failed), (8, 2));
    }

    #[test]
    fn one_lost_message_is_found() {
        let verdict = verdict_after(|evidence| evidence.processed[4] = 0);
        assert_eq!(verdict.lost, Faults { count: 1, examples: vec![4] });
        assert!(!verdict.holds());
    }

    #[test]
    fn a_ledger_that_ends_early_has_lost_the_rest() {
        let verdict = verdict_after(|evidence| evidence.processed.truncate(8));
        assert_eq!(verdict.lost.examples, [8, 9]);
        assert!(!judge(10, &Evidence::default()).holds());
    }

    #[test]
    fn one_message_processed_twice_is_found() {
        let verdict = verdict_after(|evidence| evidence.processed[0] = 2);
        assert_eq!(verdict.doubled.examples, [0]);
        assert!(!verdict.holds());
    }

    #[test]
    fn a_message_that_was_processed_and_failed_was_completed_twice() {
        let verdict = verdict_after(|evidence| evidence.processed[3] = 1);
        assert_eq!(verdict.doubled.examples, [3]);
        assert!(!verdict.holds());
    }

    #[test]
    fn a_sequence_that_ends_elsewhere_is_found() {
        for generated in [9, 11] {
            assert!(!verdict_after(|evidence| evidence.generated = generated).holds());
        }
    }

    #[test]
    fn a_number_that_nobody_generated_is_found() {
        let verdict = verdict_after(|evidence| evidence.processed.extend([0, 1]));
        assert_eq!(verdict.foreign.examples, [11]);
        assert!(!verdict.holds());
    }

    #[test]
    fn get_errors_must_print_each_failed_number_once_and_nothing_else() {
        let unprinted = verdict_after(|evidence| evidence.errors = b"7\n".to_vec());
        assert_eq!((unprinted.unprinted.examples.as_slice(), unprinted.holds()), (&[3][..], false));
        let twice = verdict_after(|evidence| evidence.errors.extend(b"7\n"));
        assert_eq!((twice.printed_twice.examples.as_slice(), twice.holds()), (&[7][..], false));
        for line in [&b"4\n"[..], b"99\n", b"what\n", b"\xff\n"] {
            let other = verdict_after(|evidence| evidence.errors.extend(line));
            assert_eq!((other.misprinted, other.holds()), (1, false), "{line:?}");
        }
    }

    #[test]
    fn faults_are_shown_with_the_first_numbers() {
        let mut faults = Faults::default();
        assert_eq!(faults.to_string(), "0");
        (0..12).for_each(|number| faults.add(number));
        assert_eq!(faults.to_string(), "12   (0, 1, 2, 3, 4, 5, 6, 7, 8, 9 …)");
    }
}
