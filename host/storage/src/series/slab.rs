//! Series by their id. Ids rise and never come again, so a handle of a series that is gone never means another one; pages whose series
//! are all gone take no memory.

use super::active::Active;

const PAGE: usize = 256;

#[derive(Default)]
pub(crate) struct Slab {
    pages: Vec<Option<Page>>,
    next: u32,
    live: usize,
}

struct Page {
    series: Box<[Option<Active>]>,
    live: usize,
}

fn place(id: u32) -> (usize, usize) {
    (id as usize / PAGE, id as usize % PAGE)
}

impl Slab {
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    pub(crate) fn get(&self, id: u32) -> Option<&Active> {
        let (page, place) = place(id);
        self.pages.get(page)?.as_ref()?.series.get(place)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut Active> {
        let (page, place) = place(id);
        self.pages.get_mut(page)?.as_mut()?.series.get_mut(place)?.as_mut()
    }

    /// The id that the next one gets. `None` after four billion.
    pub(crate) fn next(&self) -> Option<u32> {
        (self.next < u32::MAX).then_some(self.next)
    }

    pub(crate) fn add(&mut self, series: Active) {
        let (page, place) = place(self.next);
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, || None);
        }
        let Some(page) = self.pages.get_mut(page) else { return };
        let page =
            page.get_or_insert_with(|| Page { series: std::iter::repeat_with(|| None).take(PAGE).collect(), live: 0 });
        if let Some(place) = page.series.get_mut(place) {
            *place = Some(series);
            page.live += 1;
            self.live += 1;
            self.next += 1;
        }
    }

    pub(crate) fn remove(&mut self, id: u32) -> Option<Active> {
        let (number, place) = place(id);
        let slot = self.pages.get_mut(number)?;
        let page = slot.as_mut()?;
        let series = page.series.get_mut(place)?.take()?;
        page.live -= 1;
        self.live -= 1;
        if page.live == 0 {
            *slot = None;
        }
        Some(series)
    }

    /// Oldest first.
    pub(crate) fn ids(&self) -> impl Iterator<Item = u32> {
        let pages = self.pages.iter().enumerate().filter_map(|(number, page)| Some((number, page.as_ref()?)));
        pages.flat_map(|(number, page)| {
            let there = page.series.iter().enumerate().filter(|(_, series)| series.is_some());
            there.map(move |(place, _)| (number * PAGE + place) as u32)
        })
    }
}
