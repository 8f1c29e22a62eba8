//! Values under indices that stay the same, in pages that are given back when they are empty: after a peak the memory returns
//! to the server, which a table that only grows (a slab) would keep.

use crate::memory::{allocated, slot_bytes};
use std::ops::{Index, IndexMut};

/// Slots of one page: the bits of a word.
const PAGE: usize = 64;

/// An empty first page of at most this many slots is kept, so that a queue with one worker does not allocate at each claim.
const KEPT: usize = 8;

/// One page. Its slots are allocated as they are used.
#[derive(Clone, Debug)]
struct Page<T> {
    slots: Vec<Option<T>>,
    /// One bit for each slot that holds a value.
    used: u64,
    /// Whether its number is in [`Pages::vacant`].
    listed: bool,
}

/// Makes room for one more. A table of one value, as most queues have, takes one slot and not four.
fn reserve_little<T>(list: &mut Vec<T>) {
    if list.is_empty() {
        list.reserve_exact(1);
    }
}

/// Values by index.
#[derive(Clone, Debug)]
pub(crate) struct Pages<T> {
    pages: Vec<Page<T>>,
    /// Numbers of pages that have had room. Those that are full or gone since then are passed over.
    vacant: Vec<u32>,
    len: usize,
    /// Bytes of all slots.
    slot_bytes: usize,
}

impl<T> Default for Pages<T> {
    fn default() -> Pages<T> {
        Pages { pages: Vec::new(), vacant: Vec::new(), len: 0, slot_bytes: 0 }
    }
}

impl<T> Page<T> {
    fn bytes(&self) -> usize {
        allocated(self.slots.capacity() * slot_bytes::<T>())
    }

    fn is_full(&self) -> bool {
        self.used == u64::MAX
    }
}

impl<T> Pages<T> {
    /// The number of values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// An index above every index in use.
    pub fn end(&self) -> usize {
        self.pages.len() * PAGE
    }

    /// Bytes on the heap, without what the values own.
    pub fn heap_bytes(&self) -> usize {
        self.slot_bytes
            + allocated(self.pages.capacity() * size_of::<Page<T>>())
            + allocated(self.vacant.capacity() * size_of::<u32>())
    }

    /// Adds a value. Returns its index.
    pub fn insert(&mut self, value: T) -> usize {
        let number = self.page_with_room();
        let page = &mut self.pages[number];
        let before = page.bytes();
        let slot = page.used.trailing_ones() as usize;
        match page.slots.get_mut(slot) {
            Some(vacant) => *vacant = Some(value),
            None => {
                reserve_little(&mut page.slots);
                page.slots.push(Some(value));
            }
        }
        page.used |= 1 << slot;
        self.slot_bytes = self.slot_bytes + page.bytes() - before;
        self.len += 1;
        number * PAGE + slot
    }

    fn page_with_room(&mut self) -> usize {
        while let Some(number) = self.vacant.last().map(|number| *number as usize) {
            match self.pages.get_mut(number) {
                Some(page) if page.is_full() => page.listed = false,
                Some(_) => return number,
                None => {}
            }
            self.vacant.pop();
        }
        let number = self.pages.len();
        reserve_little(&mut self.pages);
        self.pages.push(Page { slots: Vec::new(), used: 0, listed: true });
        self.vacant.push(u32::try_from(number).expect("fewer than 2^32 pages fit in memory"));
        number
    }

    /// Takes out the value of an index in use.
    pub fn remove(&mut self, index: usize) -> T {
        let number = index / PAGE;
        let page = &mut self.pages[number];
        let value = page.slots[index % PAGE].take().expect("the index is in use");
        page.used &= !(1 << (index % PAGE));
        self.len -= 1;
        if !page.listed {
            page.listed = true;
            self.vacant.push(number as u32);
        }
        if page.used == 0 && (number > 0 || page.slots.len() > KEPT) {
            self.slot_bytes -= page.bytes();
            page.slots = Vec::new();
            self.drop_last_pages();
        }
        value
    }

    /// Forgets the empty pages at the end, and gives back what their list does not need.
    fn drop_last_pages(&mut self) {
        while self.pages.last().is_some_and(|page| page.slots.is_empty()) {
            self.pages.pop();
        }
        if self.pages.len() * 4 < self.pages.capacity() {
            let pages = self.pages.len();
            self.pages.shrink_to(pages * 2);
            self.vacant.retain(|number| (*number as usize) < pages);
            self.vacant.shrink_to(pages * 2);
        }
    }

    /// The value of an index, if it is in use.
    pub fn get(&self, index: usize) -> Option<&T> {
        self.pages.get(index / PAGE)?.slots.get(index % PAGE)?.as_ref()
    }

    /// The value of an index, if it is in use.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.pages.get_mut(index / PAGE)?.slots.get_mut(index % PAGE)?.as_mut()
    }

    /// Every value with its index, by index.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        let slots = |(number, page)| {
            let page: &Page<T> = page;
            page.slots.iter().enumerate().map(move |(slot, value)| (number * PAGE + slot, value))
        };
        self.pages.iter().enumerate().flat_map(slots).filter_map(|(index, value)| Some((index, value.as_ref()?)))
    }
}

impl<T> Index<usize> for Pages<T> {
    type Output = T;

    fn index(&self, index: usize) -> &T {
        self.get(index).expect("the index is in use")
    }
}

impl<T> IndexMut<usize> for Pages<T> {
    fn index_mut(&mut self, index: usize) -> &mut T {
        self.get_mut(index).expect("the index is in use")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn check(pages: &Pages<u32>, model: &BTreeMap<usize, u32>) {
        assert!(pages.iter().map(|(index, value)| (index, *value)).eq(model.iter().map(|(i, v)| (*i, *v))));
        assert_eq!(pages.len(), model.len());
        assert_eq!(pages.slot_bytes, pages.pages.iter().map(Page::bytes).sum::<usize>());
        let listed = pages.pages.iter().filter(|page| page.listed).count();
        assert!(pages.pages.iter().all(|page| page.listed || page.is_full()), "every page with room is listed");
        assert!(listed <= pages.vacant.len());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_value_stays_under_its_index(steps in prop::collection::vec((0..5u8, any::<u32>()), 1..900)) {
            let (mut pages, mut model) = (Pages::default(), BTreeMap::new());
            let mut growing = true;
            for (step, value) in steps {
                growing ^= value % 97 == 0;
                if (step > 1) == growing || model.is_empty() {
                    let index = pages.insert(value);
                    assert_eq!(model.insert(index, value), None, "an index in use is not given again");
                } else {
                    let nth = value as usize % model.len();
                    let index = *model.keys().nth(nth).expect("counted");
                    assert_eq!(Some(pages.remove(index)), model.remove(&index));
                    assert_eq!(pages.get(index), None);
                }
            }
            check(&pages, &model);
        }
    }

    #[test]
    fn what_a_peak_took_is_given_back() {
        let mut pages = Pages::default();
        let indices: Vec<usize> = (0..100_000u64).map(|value| pages.insert(value)).collect();
        let peak = pages.heap_bytes();
        for index in &indices[..99_999] {
            pages.remove(*index);
        }
        assert!(pages.heap_bytes() < peak / 15, "one at the end keeps the list of pages: {}", pages.heap_bytes());
        pages.remove(indices[99_999]);
        assert!(pages.heap_bytes() < peak / 1000, "{} of {peak} bytes", pages.heap_bytes());
    }
}
