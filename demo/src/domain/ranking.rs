//! Ranking and facets: what a search does after the database found the candidates.

use std::collections::BTreeMap;

use super::money::Cents;
use super::search::{Facet, Found, Hit};

/// Hits in an answer.
pub(crate) const HITS_MAX: usize = 20;
/// Values per facet in an answer.
const FACET_VALUES_MAX: usize = 8;
/// BM25: how fast a repeated word stops counting.
const SATURATION: f64 = 1.2;
/// BM25: how much long texts are discounted.
const LENGTH_DISCOUNT: f64 = 0.75;
/// A word in the name counts as much as this many in the description.
const NAME_WEIGHT: f64 = 4.0;

/// A product that the database found for at least one word.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) category: String,
    pub(crate) brand: String,
    pub(crate) price: Cents,
}

/// The words of a text: lower case, letters and digits only.
pub(crate) fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// Ranks candidates by BM25 over name and description and counts facets over all of them.
pub(crate) fn rank(terms: &[String], candidates: &[Candidate]) -> Found {
    let texts: Vec<Text> = candidates.iter().map(|c| Text::new(terms, c)).collect();
    let count = texts.len() as f64;
    let mean_length = texts.iter().map(|t| t.length).sum::<f64>() / count.max(1.0);
    let rarity: Vec<f64> = (0..terms.len())
        .map(|term| {
            let holding = texts.iter().filter(|t| t.weights[term] > 0.0).count() as f64;
            (1.0 + (count - holding + 0.5) / (holding + 0.5)).ln()
        })
        .collect();
    let mut hits: Vec<Hit> = candidates
        .iter()
        .zip(&texts)
        .map(|(candidate, text)| Hit {
            id: candidate.id,
            name: candidate.name.clone(),
            brand: candidate.brand.clone(),
            price: candidate.price,
            score: text.score(&rarity, mean_length),
        })
        .filter(|hit| hit.score > 0.0)
        .collect();
    let total = hits.len();
    hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
    hits.truncate(HITS_MAX);
    Found {
        total,
        hits,
        facets: facets(candidates),
    }
}

struct Text {
    weights: Vec<f64>,
    length: f64,
}

impl Text {
    fn new(terms: &[String], candidate: &Candidate) -> Self {
        let mut weights = vec![0.0; terms.len()];
        let mut length = 0.0;
        for (text, weight) in [
            (&candidate.name, NAME_WEIGHT),
            (&candidate.description, 1.0),
        ] {
            for word in words(text) {
                length += 1.0;
                for (term, sum) in terms.iter().zip(&mut weights) {
                    if word == *term {
                        *sum += weight;
                    } else if word.starts_with(term.as_str()) {
                        *sum += weight / 2.0;
                    }
                }
            }
        }
        Self { weights, length }
    }

    fn score(&self, rarity: &[f64], mean_length: f64) -> f64 {
        let norm = 1.0 - LENGTH_DISCOUNT + LENGTH_DISCOUNT * self.length / mean_length.max(1.0);
        self.weights
            .iter()
            .zip(rarity)
            .map(|(weight, rarity)| {
                rarity * weight * (SATURATION + 1.0) / (weight + SATURATION * norm)
            })
            .sum()
    }
}

fn facets(candidates: &[Candidate]) -> Vec<Facet> {
    let mut counts: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for candidate in candidates {
        for (field, value) in [
            ("category", candidate.category.clone()),
            ("brand", candidate.brand.clone()),
            ("price", price_band(candidate.price).to_owned()),
        ] {
            *counts.entry((field, value)).or_default() += 1;
        }
    }
    let mut facets: Vec<Facet> = Vec::new();
    for wanted in ["category", "brand", "price"] {
        let mut of_field: Vec<Facet> = counts
            .iter()
            .filter(|((field, _), _)| *field == wanted)
            .map(|((field, value), count)| Facet {
                field: (*field).to_owned(),
                value: value.clone(),
                count: *count,
            })
            .collect();
        of_field.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.value.cmp(&b.value)));
        of_field.truncate(FACET_VALUES_MAX);
        facets.extend(of_field);
    }
    facets
}

fn price_band(price: Cents) -> &'static str {
    match price.0 {
        ..1_000 => "below 10",
        1_000..5_000 => "10 to 50",
        5_000..20_000 => "50 to 200",
        _ => "200 and more",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(id: i64, name: &str, description: &str) -> Candidate {
        Candidate {
            id,
            name: name.to_owned(),
            description: description.to_owned(),
            category: "tools".to_owned(),
            brand: format!("brand {}", id % 2),
            price: Cents(id * 1_000),
        }
    }

    #[test]
    fn a_word_in_the_name_beats_one_in_the_description() {
        let found = rank(
            &words("steel"),
            &[
                candidate(1, "Wooden hammer", "not of steel, but handy and light"),
                candidate(2, "Steel hammer", "heavy and made to last for long"),
                candidate(3, "Rubber hammer", "no metal in it"),
            ],
        );
        assert_eq!(found.total, 2);
        assert_eq!(found.hits.iter().map(|h| h.id).collect::<Vec<_>>(), [2, 1]);
        assert!(found.hits[0].score > found.hits[1].score);
    }

    #[test]
    fn a_rare_word_counts_more_than_a_common_one() {
        let found = rank(
            &words("hammer oak"),
            &[
                candidate(1, "Hammer", "with a handle"),
                candidate(2, "Hammer", "of oak wood"),
                candidate(3, "Hammer", "of iron ore"),
            ],
        );
        assert_eq!(found.hits[0].id, 2);
    }

    #[test]
    fn facets_count_every_candidate_once_per_field() {
        let candidates = [
            candidate(1, "a", "b"),
            candidate(2, "a", "b"),
            candidate(3, "a", "b"),
        ];
        let found = rank(&words("a"), &candidates);
        for field in ["category", "brand", "price"] {
            let sum: usize = found
                .facets
                .iter()
                .filter(|f| f.field == field)
                .map(|f| f.count)
                .sum();
            assert_eq!(sum, candidates.len(), "{field}");
        }
    }

    #[test]
    fn nothing_found_is_an_answer() {
        let found = rank(&words("x"), &[]);
        assert_eq!(
            (found.total, found.hits.len(), found.facets.len()),
            (0, 0, 0)
        );
    }
}
