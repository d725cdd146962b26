/** `node test/containers/prepare.ts`: makes ahead what the tests of containers find in the engine's cache then. */

import { root, startEngine } from './engine.ts';
import { build, CURRENT, haveBase, timed } from './images.ts';

await using engine = await startEngine();
if (engine.host) process.env.DOCKER_HOST = engine.host;
const base = timed('base images', haveBase);
timed('the image', () => build(CURRENT, base, root));
