//! Where the nodes of a service map stand and which way its edges go: layers from the callers to the called.
//!
//! The layer is the longest path over the calls, with cycles cut where the given order says so. An edge that passes a
//! layer takes a place of its own in it, so that it goes around nodes and not through them. Places are ordered by
//! their neighbours' and then moved towards them as far as order and distance allow. No randomness: the same map
//! gives the same picture.

use std::collections::BTreeMap;

/// How much room things take across the layers, in pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// A node.
    pub(super) node: f64,
    /// An edge that passes.
    pub(super) passing: f64,
    /// Between two neighbours.
    pub(super) gap: f64,
    /// Most nodes in one layer; the rest of a larger one goes to the next.
    pub(super) widest: usize,
}

/// A point of the layout: a layer, and the middle of a place across it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    /// 0 is where requests enter.
    pub(super) layer: usize,
    /// Pixels from the edge of the drawing.
    pub(super) across: f64,
}

/// A finished layout.
#[derive(Debug)]
pub(super) struct Placement {
    /// A point for each node.
    pub(super) nodes: Vec<Point>,
    /// For each edge the places in the layers that it passes, from its start to its end.
    pub(super) passing: Vec<Vec<Point>>,
    /// Number of layers.
    pub(super) layers: usize,
    /// Pixels across.
    pub(super) across: f64,
}

/// Lays out `nodes` nodes; `edges` are pairs of node indices, and those out of range pass nothing.
pub(super) fn place(nodes: usize, edges: &[(usize, usize)], room: Room) -> Placement {
    let layer_of = layers(nodes, edges, room.widest);
    let count = layer_of.iter().max().map_or(0, |last| last + 1);
    // Items are the nodes, then a passing place for each edge and layer between its ends.
    let mut item_layer = layer_of.clone();
    let mut neighbours: Vec<Vec<usize>> = vec![Vec::new(); nodes];
    let mut passing_items: Vec<Vec<usize>> = Vec::with_capacity(edges.len());
    for (from, to) in edges {
        let mut passed = Vec::new();
        if let (Some(start), Some(end)) = (layer_of.get(*from).copied(), layer_of.get(*to).copied())
        {
            let between: Vec<usize> = if start < end {
                (start + 1..end).collect()
            } else {
                (end + 1..start).rev().collect()
            };
            let mut before = *from;
            for layer in between {
                let item = item_layer.len();
                item_layer.push(layer);
                neighbours.push(vec![before]);
                neighbours[before].push(item);
                passed.push(item);
                before = item;
            }
            if from != to && start != end {
                neighbours[before].push(*to);
                neighbours[*to].push(before);
            }
        }
        passing_items.push(passed);
    }
    let mut rows: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (item, layer) in item_layer.iter().enumerate() {
        rows[*layer].push(item);
    }
    order(&neighbours, &item_layer, &mut rows);
    let extent = |item: usize| {
        if item < nodes {
            room.node
        } else {
            room.passing
        }
    };
    let (position, across) = positions(&neighbours, &item_layer, &rows, &extent, room.gap);
    let point = |item: usize| Point {
        layer: item_layer[item],
        across: position[item],
    };
    Placement {
        nodes: (0..nodes).map(point).collect(),
        passing: passing_items
            .into_iter()
            .map(|items| items.into_iter().map(point).collect())
            .collect(),
        layers: count,
        across,
    }
}

/// The layer of each node.
fn layers(nodes: usize, edges: &[(usize, usize)], widest: usize) -> Vec<usize> {
    let edges: Vec<(usize, usize)> = edges
        .iter()
        .copied()
        .filter(|(from, to)| from != to && *from < nodes && *to < nodes)
        .collect();
    let forward = without_cycles(nodes, &edges);
    let mut layer = vec![0_usize; nodes];
    // At most one step more than there are nodes, for there are no cycles left.
    for _ in 0..nodes {
        let mut changed = false;
        for (from, to) in &forward {
            if layer[*to] < layer[*from] + 1 {
                layer[*to] = layer[*from] + 1;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (node, layer) in layer.iter().enumerate() {
        members.entry(*layer).or_default().push(node);
    }
    let parts = members
        .values()
        .flat_map(|nodes| nodes.chunks(widest.max(1)));
    for (index, part) in parts.enumerate() {
        for node in part {
            layer[*node] = index;
        }
    }
    layer
}

/// The edges that are left when those that close a cycle are taken out, found by walking from each node in order.
fn without_cycles(nodes: usize, edges: &[(usize, usize)]) -> Vec<(usize, usize)> {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        New,
        OnPath,
        Done,
    }
    let mut next: Vec<Vec<usize>> = vec![Vec::new(); nodes];
    for (from, to) in edges {
        next[*from].push(*to);
    }
    let mut state = vec![State::New; nodes];
    let mut kept = Vec::with_capacity(edges.len());
    for start in 0..nodes {
        if state[start] != State::New {
            continue;
        }
        state[start] = State::OnPath;
        let mut path = vec![(start, 0_usize)];
        while let Some((node, child)) = path.last_mut() {
            let from = *node;
            let Some(to) = next[from].get(*child).copied() else {
                state[from] = State::Done;
                path.pop();
                continue;
            };
            *child += 1;
            match state[to] {
                State::New => {
                    kept.push((from, to));
                    state[to] = State::OnPath;
                    path.push((to, 0));
                }
                State::Done => kept.push((from, to)),
                State::OnPath => {}
            }
        }
    }
    kept
}

/// Orders each layer by the mean place of its items' neighbours, there and back a few times.
fn order(neighbours: &[Vec<usize>], item_layer: &[usize], rows: &mut [Vec<usize>]) {
    let mut place = vec![0_usize; item_layer.len()];
    for row in rows.iter() {
        for (index, item) in row.iter().enumerate() {
            place[*item] = index;
        }
    }
    let lengths: Vec<usize> = rows.iter().map(|row| row.len().max(1)).collect();
    for pass in 0..8 {
        let down = pass % 2 == 0;
        let indices: Vec<usize> = if down {
            (0..rows.len()).collect()
        } else {
            (0..rows.len()).rev().collect()
        };
        for index in indices {
            // Thousandths of a place, so that the sort is of integers and ties keep their order.
            rows[index].sort_by_key(|item| {
                let near: Vec<usize> = neighbours[*item]
                    .iter()
                    .copied()
                    .filter(|n| (item_layer[*n] < index) == down)
                    .collect();
                if near.is_empty() {
                    place[*item] * 1000
                } else {
                    near.iter()
                        .map(|n| place[*n] * 1000 * lengths[index] / lengths[item_layer[*n]])
                        .sum::<usize>()
                        / near.len()
                }
            });
            for (at, item) in rows[index].iter().enumerate() {
                place[*item] = at;
            }
        }
    }
}

/// Where each item stands across, and how much room all need: near the mean of its neighbours, in order, at least
/// the gap apart.
fn positions(
    neighbours: &[Vec<usize>],
    item_layer: &[usize],
    rows: &[Vec<usize>],
    extent: &dyn Fn(usize) -> f64,
    gap: f64,
) -> (Vec<f64>, f64) {
    let mut position = vec![0.0; item_layer.len()];
    for row in rows {
        let mut at = 0.0;
        for item in row {
            position[*item] = at + extent(*item) / 2.0;
            at += extent(*item) + gap;
        }
        // Layers begin centred on each other.
        for item in row {
            position[*item] -= (at - gap) / 2.0;
        }
    }
    for pass in 0..10 {
        for step in 0..rows.len() {
            let row = &rows[if pass % 2 == 0 {
                step
            } else {
                rows.len() - 1 - step
            }];
            let wished: Vec<f64> = row
                .iter()
                .map(|item| {
                    let near = &neighbours[*item];
                    if near.is_empty() {
                        position[*item]
                    } else {
                        near.iter().map(|n| position[*n]).sum::<f64>() / near.len() as f64
                    }
                })
                .collect();
            let distances: Vec<f64> = row
                .windows(2)
                .map(|pair| f64::midpoint(extent(pair[0]), extent(pair[1])) + gap)
                .collect();
            for (item, at) in row.iter().zip(spread(&wished, &distances)) {
                position[*item] = at;
            }
        }
    }
    let low = |item: usize| position[item] - extent(item) / 2.0;
    let first = (0..position.len()).map(low).fold(f64::INFINITY, f64::min);
    let last = (0..position.len())
        .map(|item| position[item] + extent(item) / 2.0)
        .fold(f64::NEG_INFINITY, f64::max);
    if first > last {
        return (position, 0.0);
    }
    (position.iter().map(|at| at - first).collect(), last - first)
}

/// The places nearest to those wished that keep their order and distances: least squares, by pooling neighbours
/// that are too near each other.
fn spread(wished: &[f64], distances: &[f64]) -> Vec<f64> {
    let mut offset = Vec::with_capacity(wished.len());
    let mut sum = 0.0;
    for index in 0..wished.len() {
        offset.push(sum);
        sum += distances.get(index).copied().unwrap_or(0.0);
    }
    // Pools of neighbours that stand as near as they may: sum of wishes without the offsets, and how many.
    let mut pools: Vec<(f64, usize)> = Vec::with_capacity(wished.len());
    for (wish, offset) in wished.iter().zip(&offset) {
        pools.push((wish - offset, 1));
        while let [.., before, last] = pools.as_slice() {
            if before.0 / before.1 as f64 <= last.0 / last.1 as f64 {
                break;
            }
            let joined = (before.0 + last.0, before.1 + last.1);
            pools.truncate(pools.len() - 2);
            pools.push(joined);
        }
    }
    pools
        .iter()
        .flat_map(|(sum, count)| std::iter::repeat_n(sum / *count as f64, *count))
        .zip(&offset)
        .map(|(base, offset)| base + offset)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room {
        node: 60.0,
        passing: 30.0,
        gap: 10.0,
        widest: 4,
    };

    fn layers_of(nodes: usize, edges: &[(usize, usize)]) -> Vec<usize> {
        place(nodes, edges, ROOM)
            .nodes
            .iter()
            .map(|p| p.layer)
            .collect()
    }

    #[test]
    fn callers_stand_before_the_called() {
        assert_eq!(
            layers_of(4, &[(0, 1), (1, 2), (0, 2), (0, 3)]),
            [0, 1, 2, 1]
        );
    }

    #[test]
    fn cycles_and_self_calls_end() {
        assert_eq!(layers_of(3, &[(0, 1), (1, 2), (2, 0), (1, 1)]), [0, 1, 2]);
        assert_eq!(layers_of(2, &[(0, 7), (9, 1)]), [0, 0]);
        assert_eq!(place(0, &[], ROOM).layers, 0);
    }

    #[test]
    fn edges_that_pass_a_layer_have_a_place_in_it() {
        let placed = place(4, &[(0, 1), (1, 2), (2, 3), (0, 3), (3, 0)], ROOM);
        assert_eq!(
            placed.passing[3]
                .iter()
                .map(|p| p.layer)
                .collect::<Vec<_>>(),
            [1, 2]
        );
        assert_eq!(
            placed.passing[4]
                .iter()
                .map(|p| p.layer)
                .collect::<Vec<_>>(),
            [2, 1]
        );
        assert!(placed.passing[0].is_empty());
    }

    #[test]
    fn nothing_stands_on_anything_else() {
        let mut edges: Vec<(usize, usize)> = (1..20).map(|n| (n / 3, n)).collect();
        edges.extend([(0, 19), (19, 2), (3, 3)]);
        let placed = place(20, &edges, ROOM);
        let mut all: Vec<(Point, f64)> = placed.nodes.iter().map(|p| (*p, ROOM.node)).collect();
        all.extend(placed.passing.iter().flatten().map(|p| (*p, ROOM.passing)));
        for (index, (a, a_room)) in all.iter().enumerate() {
            assert!(
                a.across - a_room / 2.0 >= -1e-6 && a.across + a_room / 2.0 <= placed.across + 1e-6
            );
            for (b, b_room) in &all[index + 1..] {
                let apart = (a.across - b.across).abs();
                assert!(
                    a.layer != b.layer
                        || apart >= f64::midpoint(*a_room, *b_room) + ROOM.gap - 1e-6,
                    "{a:?} {b:?}"
                );
            }
        }
    }

    #[test]
    fn spreading_keeps_what_is_far_enough_apart() {
        assert_eq!(spread(&[0.0, 50.0], &[10.0]), [0.0, 50.0]);
        assert_eq!(spread(&[20.0, 20.0], &[10.0]), [15.0, 25.0]);
        assert!(spread(&[], &[]).is_empty());
    }
}
