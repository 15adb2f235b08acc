//! `units`: the category of every unit.

use differential_dataflow::trace::implementations::{ValBuilder, ValSpine};

use super::layout::{Arrangement, Member, Unit};

/// From the members of every unit, the category the unit is dealt in: that of its member with the
/// lowest id. Cost of a change: the members of its unit.
pub(super) fn categories_of_units<'scope>(
    members: Arrangement<'scope, Unit, Member>,
) -> Arrangement<'scope, Unit, u32> {
    members.reduce_abelian::<_, ValBuilder<_, _, _, _>, ValSpine<_, _, _, _>, _, _>(
        "CategoriesOfUnits",
        |_unit, members, category| category.push((members[0].0.2, 1)),
        |batch, unit, updates| {
            batch.clear();
            batch.extend(
                updates.drain(..).map(|(category, time, diff)| ((*unit, category), time, diff)),
            );
        },
    )
}
