//! Applies the write-ahead log of a `SQLite` database to its pages.
//!
//! The format is documented at <https://www.sqlite.org/fileformat2.html#walformat> and has been the same since 2010.

/// The length of the log header, in bytes.
pub(super) const HEADER: usize = 32;
/// The length of the header before each page, in bytes.
const FRAME: usize = 24;

/// Writes the pages of every complete transaction in the log into the database. A log that is damaged or belongs to
/// another checkpoint is used up to its first invalid frame, as `SQLite` does. Returns `Err` if the database would grow
/// beyond `limit`.
pub(super) fn replay(database: &mut Vec<u8>, log: &[u8], limit: usize) -> Result<(), String> {
    let Some(frames) = Frames::of(log) else { return Ok(()) };
    let size = frames.page;
    let mut waiting: Vec<(usize, &[u8])> = Vec::new();
    for frame in frames {
        waiting.push((frame.number, frame.page));
        let Some(pages) = frame.commit else { continue };
        let length = pages.checked_mul(size).filter(|length| *length <= limit);
        let length = length.ok_or_else(|| format!("it is larger than {} MiB", limit / 1024 / 1024))?;
        database.resize(length, 0);
        for (number, page) in waiting.drain(..) {
            let place = number.checked_sub(1).and_then(|before| before.checked_mul(size));
            // A page beyond the end was truncated by the same transaction.
            if let Some(place) = place.and_then(|from| database.get_mut(from..from.checked_add(size)?)) {
                place.copy_from_slice(page);
            }
        }
    }
    Ok(())
}

struct Frame<'a> {
    number: usize,
    page: &'a [u8],
    /// The length of the database in pages, if this frame ends a transaction.
    commit: Option<usize>,
}

struct Frames<'a> {
    rest: &'a [u8],
    salt: &'a [u8],
    page: usize,
    sum: Sum,
}

impl<'a> Frames<'a> {
    fn of(log: &'a [u8]) -> Option<Self> {
        let (header, rest) = log.split_at_checked(HEADER)?;
        let big_endian = match number(header, 0)? {
            0x377f_0682 => false,
            0x377f_0683 => true,
            _ => return None,
        };
        let page = usize::try_from(number(header, 8)?).ok()?;
        let sound =
            number(header, 4)? == 3_007_000 && page.is_power_of_two() && (512..=65536).contains(&page);
        let mut sum = Sum { big_endian, parts: (0, 0) };
        sum.add(&header[..24]);
        let whole = sum.parts == (number(header, 24)?, number(header, 28)?);
        (sound && whole).then_some(Self { rest, salt: &header[16..24], page, sum })
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        let (header, rest) = self.rest.split_at_checked(FRAME)?;
        let (page, rest) = rest.split_at_checked(self.page)?;
        self.rest = rest;
        self.sum.add(&header[..8]);
        self.sum.add(page);
        let whole = self.sum.parts == (number(header, 16)?, number(header, 20)?);
        if !whole || header[8..16] != *self.salt {
            self.rest = &[];
            return None;
        }
        let pages = usize::try_from(number(header, 4)?).ok()?;
        let number = usize::try_from(number(header, 0)?).ok()?;
        Some(Frame { number, page, commit: (pages > 0).then_some(pages) })
    }
}

/// The running checksum of everything since the beginning of the log.
struct Sum {
    big_endian: bool,
    parts: (u32, u32),
}

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        let word = |bytes: &[u8]| {
            let word = [bytes[0], bytes[1], bytes[2], bytes[3]];
            if self.big_endian { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }
        };
        let (mut first, mut second) = self.parts;
        for two in bytes.chunks_exact(8) {
            first = first.wrapping_add(word(&two[..4])).wrapping_add(second);
            second = second.wrapping_add(word(&two[4..])).wrapping_add(first);
        }
        self.parts = (first, second);
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}
