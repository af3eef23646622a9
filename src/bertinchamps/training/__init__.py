"""The engine: one loop for pretraining and fine-tuning. It knows neither masks, nor French, nor Hydra."""
