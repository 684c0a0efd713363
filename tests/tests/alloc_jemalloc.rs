//! The agent's allocator over jemalloc. A binary of its own, since a process has one global allocator.

#[path = "alloc/mod.rs"]
mod counted;

#[global_allocator]
static ALLOC: weighbridge_agent::Alloc<tikv_jemallocator::Jemalloc> =
    weighbridge_agent::Alloc::new(tikv_jemallocator::Jemalloc);

#[test]
fn allocations_are_counted_to_the_byte() {
    counted::allocations_are_counted_to_the_byte();
}
