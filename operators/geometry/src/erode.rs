//! `erode`: grids shrunk by their neighbours.

use voxflow_contract::{BuildContext, Inputs, Kind, ParamError, Params, Stage};

use crate::kernels::erode;
use crate::morphology::{Morphology, MorphologyParams};

/// `erode` as a pipeline names it.
#[derive(Debug, Clone, Copy)]
pub struct ErodeKind;

impl Kind for ErodeKind {
    fn name(&self) -> &'static str {
        "erode"
    }

    fn summary(&self) -> &'static str {
        "Takes from every grid the cells that have an empty neighbour."
    }

    fn manual(&self) -> &'static str {
        "Takes table `voxels`, gives table `voxels`; frame and `fill` stay.\n\n\
         A cell is occupied afterwards when it and all its neighbours were, `rounds` times. \
         Beyond the border of the grid all is empty, so cells at the border go in the first \
         round. What is left may be an empty grid. `neighbours` is `faces` (6 cells) or \
         `corners` (26).\n\n\
         Grids of another resolution than `resolution` are refused (`resolution`), as the table \
         has one shape for all rows.\n\n\
         Cost: a few operations on words of 64 cells each round."
    }

    fn version(&self) -> u32 {
        1
    }

    fn inputs(&self) -> Inputs {
        Inputs::Tables(&["voxels"])
    }

    fn output(&self) -> &'static str {
        "voxels"
    }

    fn example(&self) -> &'static str {
        "[[stage]]\nid = \"eroded\"\nuse = \"erode\"\nfrom = \"grids\"\nrounds = 1\n"
    }

    fn parameters(&self) -> schemars::Schema {
        schemars::schema_for!(MorphologyParams)
    }

    fn build(&self, params: &Params, _context: &BuildContext) -> Result<Stage, Vec<ParamError>> {
        Morphology::build(params, erode)
    }
}
