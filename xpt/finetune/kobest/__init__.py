"""KoBEST, the Korean benchmark of five tasks (Jang et al. 2022): fine-tuned on train, scored on test."""
