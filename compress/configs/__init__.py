"""What a recipe may say of each stage; the config's type selects the method. Imports nothing heavy."""

from compress.base_config import Config, Fraction, ModelConfig, known_names
from compress.configs.distil import DistilConfig, TeacherConfig
from compress.configs.factorize import FactorizeConfig
from compress.configs.palettize import PalettizeConfig
from compress.configs.prune import PruneConfig
from compress.configs.quantize import QuantizeConfig
from compress.training.config import FinetuneConfig, TrainConfig

__all__ = [
    "Config",
    "DistilConfig",
    "FactorizeConfig",
    "FinetuneConfig",
    "Fraction",
    "ModelConfig",
    "PalettizeConfig",
    "PruneConfig",
    "QuantizeConfig",
    "TeacherConfig",
    "TrainConfig",
    "known_names",
]
