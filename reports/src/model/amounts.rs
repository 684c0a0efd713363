//! Amounts by how they came about.

use crate::document::QualityWord;

const WORDS: [QualityWord; 5] = [
    QualityWord::Measured,
    QualityWord::Sampled,
    QualityWord::Apportioned,
    QualityWord::Estimated,
    QualityWord::Other,
];

/// An amount for each quality that there is of it. In place and not on the heap: every figure holds one, and a report has
/// millions of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Amounts<T> {
    amounts: [Option<T>; WORDS.len()],
}

impl<T: Copy + Default> Amounts<T> {
    /// One amount of one quality.
    pub(crate) fn one(quality: QualityWord, amount: T) -> Self {
        let mut one = Self::default();
        *one.entry(quality) = amount;
        one
    }

    /// The amount of a quality, nothing where there was none.
    pub(crate) fn entry(&mut self, quality: QualityWord) -> &mut T {
        self.amounts[place(quality)].get_or_insert_default()
    }

    pub(crate) fn get(&self, quality: QualityWord) -> Option<T> {
        self.amounts[place(quality)]
    }

    /// Those that there are, in the order of [`QualityWord`].
    pub(crate) fn iter(&self) -> impl Iterator<Item = (QualityWord, T)> + '_ {
        let known = WORDS.iter().zip(&self.amounts);
        known.filter_map(|(word, amount)| Some((*word, (*amount)?)))
    }
}

fn place(quality: QualityWord) -> usize {
    match quality {
        QualityWord::Measured => 0,
        QualityWord::Sampled => 1,
        QualityWord::Apportioned => 2,
        QualityWord::Estimated => 3,
        QualityWord::Other => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_quality_has_its_place_and_none_is_there_before_it_is_added() {
        let mut amounts = Amounts::<i64>::default();
        assert_eq!(amounts.iter().count(), 0);
        for (at, word) in WORDS.into_iter().enumerate().rev() {
            assert_eq!((place(word), amounts.get(word)), (at, None));
            *amounts.entry(word) += 1;
        }
        assert!(amounts.iter().map(|(word, _)| word).eq(WORDS));
        assert!(WORDS.is_sorted());
    }
}
