from .timm_backbone import TimmBackbone, build_timm_backbone, fit_state_dict

__all__ = ["TimmBackbone", "build_timm_backbone", "fit_state_dict"]
