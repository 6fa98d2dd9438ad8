//! The registry of images keeps its contract, under every binding.

libos_conformance::suite!(images, libos_images::Images::default);
libos_conformance::suite!(skills, libos_images::Images::default);
libos_conformance::suite!(tools, libos_images::Images::default);
