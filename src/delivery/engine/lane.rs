use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Deliveries with one key, at most, that a lane holds: the one whose turn it is and those behind it.
const MAX_PLACES: usize = 10_000;
/// Places in a segment. Only the last segment is written when one joins.
const SEGMENT_PLACES: usize = 1_000;

/// The order of the deliveries with one key: the first has its turn and keeps it until it leaves.
///
/// It is kept as a [`Lead`] and [`Lane::SEGMENTS`] segments, each a value of its own; a segment is lines of JSON
/// `["<id>",<seq>]`. Joining and leaving change the lead and at most one segment.
#[derive(Debug, Clone, Default)]
pub struct Lane {
    lead: Lead,
    segments: [Segment; Lane::SEGMENTS],
}

/// The part of a [`Lane`] that is read and written each time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lead {
    /// Whose turn it is.
    turn: Option<Place>,
    /// How many wait behind.
    waiting: usize,
    /// The segment with the next one, and where its line begins there.
    front: (usize, usize),
    /// The segment with the last one, and how many places it has.
    back: (usize, usize),
}

#[derive(Debug, Clone, Default)]
struct Segment {
    lines: Bytes,
    changed: bool,
}

/// One delivery in a lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The delivery's id.
    pub id: String,
    /// What its turn repeats: see [`Effect::Join`](super::Effect::Join).
    pub seq: u64,
}

/// Why a lane did not do what it was told. Whose turn it is has not changed, nor who waits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LaneError {
    /// There is no room behind this key.
    #[error("lane is full: {waiting} deliveries of this key wait already")]
    Full {
        /// How many wait.
        waiting: usize,
    },
    /// What was stored cannot be read.
    #[error("segment {segment} of the lane is damaged")]
    Damaged {
        /// Which segment.
        segment: usize,
    },
}

impl Lane {
    /// Segments in all: ten full ones and one that is being emptied.
    pub const SEGMENTS: usize = MAX_PLACES / SEGMENT_PLACES + 1;

    /// The lane that was stored so. Segments that were not stored are empty.
    pub fn stored(lead: Lead, segments: [Bytes; Self::SEGMENTS]) -> Self {
        let segments = segments.map(|lines| Segment {
            lines,
            changed: false,
        });
        Self { lead, segments }
    }

    /// What to store of it besides segments.
    pub const fn lead(&self) -> &Lead {
        &self.lead
    }

    /// The segments that changed since it was loaded, to be stored; an empty one may be removed.
    pub fn changed(&self) -> impl Iterator<Item = (usize, &Bytes)> {
        let segments = self.segments.iter().enumerate();
        segments.filter_map(|(n, segment)| segment.changed.then_some((n, &segment.lines)))
    }

    /// How many it holds, the one whose turn it is included.
    pub fn len(&self) -> usize {
        self.lead.waiting + usize::from(self.lead.turn.is_some())
    }

    /// True when nobody is in it; nothing need be stored then.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whose turn it is.
    pub const fn turn(&self) -> Option<&Place> {
        self.lead.turn.as_ref()
    }

    /// Takes the last place. `Some` when that is also the first, so that it is this one's turn.
    ///
    /// # Errors
    /// When 10,000 are there already, or so many left from the middle that the segments are used up.
    pub fn join(&mut self, place: Place) -> Result<Option<&Place>, LaneError> {
        if self.lead.turn.is_none() {
            self.lead.turn = Some(place);
            return Ok(self.turn());
        }
        let (mut back, mut places) = self.lead.back;
        if places == SEGMENT_PLACES {
            (back, places) = (next(back), 0);
        }
        let used_up = places == 0 && back == self.lead.front.0 && self.lead.waiting > 0;
        if self.len() >= MAX_PLACES || used_up {
            let waiting = self.len();
            return Err(LaneError::Full { waiting });
        }
        self.write(back, |lines| lines.extend(line(&place)));
        self.lead.back = (back, places + 1);
        self.lead.waiting += 1;
        Ok(None)
    }

    /// Gives up a place. `Some` when the turn passes on, to the one it names. One that is not there changes nothing.
    ///
    /// # Errors
    /// When what was stored cannot be read.
    pub fn leave(&mut self, id: &str) -> Result<Option<&Place>, LaneError> {
        if self.lead.turn.as_ref().is_some_and(|turn| turn.id == id) {
            self.lead.turn = self.take_front()?;
            return Ok(self.turn());
        }
        if let Some((n, range)) = self.find(id) {
            self.write(n, |lines| _ = lines.drain(range));
            self.lead.waiting -= 1;
            if n == self.lead.back.0 {
                self.lead.back.1 = self.lead.back.1.saturating_sub(1);
            }
        }
        Ok(None)
    }

    fn take_front(&mut self) -> Result<Option<Place>, LaneError> {
        if self.lead.waiting == 0 {
            self.reset();
            return Ok(None);
        }
        loop {
            let (n, from) = self.lead.front;
            let lines = self.lines(n);
            if let Some(end) = line_end(lines, from) {
                let text = lines.get(from..end).unwrap_or_default();
                let (id, seq) =
                    serde_json::from_slice(text).map_err(|_| LaneError::Damaged { segment: n })?;
                self.lead.front = (n, end);
                self.lead.waiting -= 1;
                return Ok(Some(Place { id, seq }));
            }
            if n == self.lead.back.0 {
                return Err(LaneError::Damaged { segment: n });
            }
            self.write(n, Vec::clear);
            self.lead.front = (next(n), 0);
        }
    }

    /// Nobody waits: what is left are lines that were read.
    fn reset(&mut self) {
        for n in 0..Self::SEGMENTS {
            if !self.lines(n).is_empty() {
                self.write(n, Vec::clear);
            }
        }
        (self.lead.front, self.lead.back) = ((0, 0), (0, 0));
    }

    /// The segment and the line of a delivery that waits.
    fn find(&self, id: &str) -> Option<(usize, Range<usize>)> {
        let start = line_start(id);
        let (front, offset) = self.lead.front;
        (0..Self::SEGMENTS).find_map(|n| {
            let mut from = if n == front { offset } else { 0 };
            let lines = self.lines(n);
            while let Some(end) = line_end(lines, from) {
                if lines.get(from..end)?.starts_with(start.as_bytes()) {
                    return Some((n, from..end));
                }
                from = end;
            }
            None
        })
    }

    fn lines(&self, n: usize) -> &[u8] {
        self.segments.get(n).map_or(&[], |segment| &segment.lines)
    }

    fn write(&mut self, n: usize, edit: impl FnOnce(&mut Vec<u8>)) {
        if let Some(segment) = self.segments.get_mut(n) {
            let mut lines = Vec::from(std::mem::take(&mut segment.lines));
            edit(&mut lines);
            segment.lines = lines.into();
            segment.changed = true;
        }
    }
}

const fn next(segment: usize) -> usize {
    (segment + 1) % Lane::SEGMENTS
}

fn line_start(id: &str) -> String {
    format!("[{},", serde_json::Value::from(id))
}

fn line(place: &Place) -> Vec<u8> {
    format!("{}{}]\n", line_start(&place.id), place.seq).into_bytes()
}

/// Behind the line that begins at `from`; `None` behind the last.
fn line_end(lines: &[u8], from: usize) -> Option<usize> {
    let length = lines.get(from..)?.iter().position(|byte| *byte == b'\n')?;
    Some(from + length + 1)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::random::Random;

    fn place(n: u64) -> Place {
        Place {
            id: format!("job \"{n}\"\n"),
            seq: n % 7,
        }
    }

    /// Stores the lane as its owner does, and loads it again.
    fn stored(lane: &Lane, kept: &mut [Bytes; Lane::SEGMENTS]) -> Lane {
        for (n, lines) in lane.changed() {
            kept[n] = lines.clone();
        }
        let lead = serde_json::to_string(lane.lead()).unwrap();
        Lane::stored(serde_json::from_str(&lead).unwrap(), kept.clone())
    }

    #[test]
    fn dl_06_the_turn_goes_in_the_order_of_joining_for_random_schedules() {
        for seed in 0..300 {
            let mut random = Random::seeded(seed);
            let mut kept = std::array::from_fn(|_| Bytes::new());
            let (mut lane, mut model) = (Lane::default(), VecDeque::new());
            let mut joined = 0;
            for _ in 0..200 {
                let turn_before = model.front().cloned();
                let answered = if random.chance(55) {
                    joined += 1;
                    model.push_back(place(joined));
                    lane.join(place(joined)).unwrap().cloned()
                } else if random.chance(60) || model.is_empty() {
                    model.pop_front();
                    let gone = turn_before.clone().unwrap_or(place(0));
                    lane.leave(&gone.id).unwrap().cloned()
                } else {
                    let at = usize::try_from(random.below(model.len() as u64)).unwrap();
                    let gone = model.remove(at).unwrap();
                    lane.leave(&gone.id).unwrap().cloned()
                };
                let turn = model.front().cloned();
                assert_eq!(lane.turn(), turn.as_ref(), "seed {seed}");
                assert_eq!(lane.len(), model.len(), "seed {seed}");
                let news = if turn == turn_before { None } else { turn };
                assert_eq!(answered, news, "each turn is told once; seed {seed}");
                lane = stored(&lane, &mut kept);
            }
        }
    }

    #[test]
    fn ten_thousand_fit_and_a_write_touches_one_segment() {
        let mut kept = std::array::from_fn(|_| Bytes::new());
        let mut lane = Lane::default();
        for n in 0..10_000 {
            lane.join(place(n)).unwrap();
            assert!(lane.changed().count() <= 1);
            lane = stored(&lane, &mut kept);
        }
        assert_eq!(
            lane.join(place(10_000)),
            Err(LaneError::Full { waiting: 10_000 })
        );
        for n in 0..25_000 {
            let next = lane.leave(&place(n).id).unwrap().cloned();
            assert_eq!(next, Some(place(n + 1)));
            lane.join(place(n + 10_000)).unwrap();
            assert!(lane.changed().count() <= 2);
            lane = stored(&lane, &mut kept);
        }
        assert_eq!(lane.len(), 10_000);
    }

    #[test]
    fn an_emptied_lane_leaves_no_segment_behind() {
        let mut kept = std::array::from_fn(|_| Bytes::new());
        let mut lane = Lane::default();
        for n in 0..3_000 {
            lane.join(place(n)).unwrap();
        }
        for n in 0..3_000 {
            lane.leave(&place(n).id).unwrap();
        }
        let lane = stored(&lane, &mut kept);
        assert!(lane.is_empty());
        assert_eq!(lane.lead(), &Lead::default());
        assert!(kept.iter().all(Bytes::is_empty));
    }

    #[test]
    fn damage_is_told_and_changes_nothing() {
        let mut lane = Lane::default();
        lane.join(place(1)).unwrap();
        lane.join(place(2)).unwrap();
        lane.segments[0].lines = Bytes::from_static(b"nonsense\n");
        assert_eq!(
            lane.leave(&place(1).id),
            Err(LaneError::Damaged { segment: 0 })
        );
        assert_eq!(lane.turn(), Some(&place(1)));
    }
}
