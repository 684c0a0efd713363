use super::*;

fn map(names: &[&str], edges: &[(usize, usize)]) -> ServiceMap<'static> {
    ServiceMap {
        caption: Caption {
            id: "map",
            title: "Services",
            description: "Who calls whom",
        },
        nodes: names
            .iter()
            .map(|name| MapNode {
                name: (*name).to_owned(),
                lines: vec!["0.2 cores".to_owned()],
                anchor: Some("service-a".to_owned()),
                kind: "service",
            })
            .collect(),
        edges: edges
            .iter()
            .map(|(from, to)| MapEdge {
                from: *from,
                to: *to,
                label: vec!["12/s, 4 B".to_owned()],
                short_label: vec!["12/s".to_owned()],
                description: "12 calls in a second".to_owned(),
                weight: 0.5,
                is_async: false,
                anchor: None,
            })
            .collect(),
        proposals: Vec::new(),
    }
}

#[test]
fn a_proposed_boundary_is_drawn_once_around_its_nodes() {
    let mut input = map(&["a", "b", "c"], &[(0, 1), (1, 2)]);
    let proposal = |mark: &str, nodes: Vec<usize>| MapProposal {
        mark: mark.to_owned(),
        description: "Merge <a> and b".to_owned(),
        nodes,
    };
    input.proposals = vec![proposal("1", vec![0, 1]), proposal("2", vec![1, 9])];
    let svg = service_map(&input, Layout::Wide);
    assert_eq!(
        svg.matches("class=\"hull\"").count(),
        2,
        "one boundary for each proposal: around both of its nodes, and around the one that is there"
    );
    assert_eq!(
        svg.matches("class=\"f-accent\"").count(),
        2,
        "one mark for each proposal"
    );
    assert!(svg.contains("Merge &lt;a&gt; and b"), "{svg}");
}

#[test]
fn what_is_read_out_begins_with_what_is_seen() {
    let mut input = map(&["a service with a long name"], &[]);
    input.nodes[0].lines = vec![
        "not known".to_owned(),
        "messages of some unknown share".to_owned(),
    ];
    let svg = service_map(&input, Layout::Wide);
    let seen: Vec<&str> = svg
        .match_indices("class=\"f-")
        .filter_map(|(at, _)| svg[at..].split_once('>')?.1.split_once("</text>"))
        .map(|(text, _)| text)
        .filter(|text| !text.contains('<'))
        .collect();
    assert_eq!(seen.len(), 3, "{seen:?}");
    let read = svg.split_once("aria-label=\"").expect("a link").1;
    assert!(read.starts_with(&seen.join(" ")), "{seen:?}: {read}");
    let whole = " (a service with a long name, messages of some unknown share)\"";
    assert!(read.contains(whole), "{read}");
    input.nodes[0].lines[1] = "messages: n/a".to_owned();
    let svg = service_map(&input, Layout::Narrow);
    assert!(svg.contains(">messages: n/a</text>"), "{svg}");
}

#[test]
fn every_node_and_edge_is_drawn() {
    let input = map(&["a", "b", "c"], &[(0, 1), (1, 2), (2, 0), (1, 1), (0, 9)]);
    for layout in [Layout::Wide, Layout::Narrow] {
        let svg = service_map(&input, layout);
        assert_eq!(svg.matches("class=\"node service\"").count(), 3);
        assert_eq!(
            svg.matches("class=\"edge\"").count(),
            4,
            "the edge to nowhere is left out"
        );
        assert_eq!(svg, service_map(&input, layout));
    }
}

#[test]
fn hostile_names_stay_text() {
    let long = "x".repeat(4096);
    let svg = service_map(
        &map(
            &["</svg><script>alert(1)</script>", &long, "\"\u{202e}"],
            &[],
        ),
        Layout::Wide,
    );
    assert!(!svg.contains("<script") && !svg.contains('\u{202e}') && svg.len() < 6000);
}

#[test]
fn an_empty_map_is_an_empty_frame() {
    assert!(service_map(&map(&[], &[]), Layout::Narrow).ends_with("</svg>"));
}
