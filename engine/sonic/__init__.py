"""The Sonic renderer: one frozen config, conditioning, the UNet, the denoising loop, pixels; docs/sonic.md says why."""
