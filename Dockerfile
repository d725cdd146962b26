# One image for all roles, chosen by the command: node run, coordinator run, cosigner serve, witness serve, monitor --watch.
# scripts/image builds it so that two builds have one digest; docs/deploy/README.md says how it is run.
#
# BASE: Debian or a derivative with apt, without Node: that comes from npm, in the version of package-lock.json.
# BUILDER: the same with npm and a C++ compiler, or without: then they are installed. Nothing of it is in the result.
# ANEW: anything; another value makes all anew but what was fetched by its hash.
ARG BASE=debian:bookworm-slim
ARG BUILDER=${BASE}

# ---- What runs: the base with SoftHSM and a user ----------------------------------------------------------------------
FROM ${BASE} AS runtime
ARG ANEW
# A mirror that fails for a moment, or changes between its list and the package, is asked again.
RUN get() { apt-get -q update \
      && DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends softhsm2; } \
 && { get || { sleep 5 && get; } || { sleep 30 && get; }; } \
 && echo 'holdfast:x:10001:' >>/etc/group \
 && echo 'holdfast:x:10001:10001:Holdfast:/var/lib/holdfast:/usr/sbin/nologin' >>/etc/passwd \
 && install -d -o 10001 -g 10001 -m 700 /var/lib/holdfast /var/lib/holdfast/own /var/lib/holdfast/store \
 # Whatever tells when or where this was run.
 && apt-get clean \
 && rm -rf /var/lib/apt/lists/* /var/log/* /var/cache/apt/* /var/cache/debconf/* /var/cache/ldconfig/* /tmp/* \
      /etc/group- /etc/gshadow- /etc/passwd- /etc/shadow- /var/lib/dpkg/*-old /var/lib/softhsm \
 && mkdir -p /var/cache/apt/archives/partial /var/lib/apt/lists/partial

# ---- What is built: Node, the compiled program, its packages and a list of everything ---------------------------------
FROM ${BUILDER} AS build
WORKDIR /build
ENV PATH=/opt/npm/node_modules/.bin:$PATH
COPY package.json package-lock.json ./
# Of packages of others, each by the hash that the lock file has of it. Whatever is fetched is asked for again where it fails:
# npm does not by itself where a transfer breaks off.
RUN try() { "$@" || { sleep 5 && "$@"; } || { sleep 30 && "$@"; }; } \
 && get() { apt-get -q update \
      && DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends ca-certificates g++ make npm python3; } \
 && if ! { command -v npm && command -v g++ && command -v make && command -v python3; } >/dev/null; then try get; fi \
 # Debian's npm knows nothing of bills of materials; on Debian's Node it leaves out what wants a newer one, without a word.
 && try npm install --silent --no-audit --no-fund --prefix /opt/npm npm@10.9.4 \
      node@$(node -p 'require("./package-lock.json").packages["node_modules/node"].version') \
 # The shell remembers where it found Debian's.
 && hash -r \
 && try npm ci --ignore-scripts --no-audit --no-fund --include=dev \
 && npm sbom --omit=dev --sbom-format=cyclonedx >/tmp/npm.json \
 && npm cache clean --force --silent
ARG ANEW
COPY container/prune.mjs ./
RUN headers=$(echo /opt/npm/node_modules/node/node_modules/node*/include) \
 && install -D -m 755 /opt/npm/node_modules/.bin/node /out/usr/local/bin/node \
 && install -D -m 644 "${headers%/include}/LICENSE" /out/usr/local/share/node/LICENSE \
 && mkdir -p /out/app && cp -r node_modules package.json package-lock.json /out/app/ && cd /out/app \
 && npm prune --omit=dev --ignore-scripts --no-audit --no-fund \
 && npm_config_nodedir=${headers%/include} npm_package_config_node_gyp_nodedir=${headers%/include} \
      npm rebuild pkcs11js --foreground-scripts \
 && rm package.json package-lock.json && node /build/prune.mjs node_modules \
 && find /out -name '*.node' -exec strip --strip-unneeded {} + && strip /out/usr/local/bin/node
COPY tsconfig.json tsconfig.build.json LICENSE ./
COPY src src
COPY scripts/build.ts scripts/build-chunks.ts scripts/build-pages.ts scripts/
COPY scripts/pages scripts/pages
COPY softhsm softhsm
COPY container container
COPY --from=runtime /var/lib/dpkg/status /etc/os-release /tmp/
# What the program says of itself; scripts/image gives both.
ARG SOURCE_COMMIT=
ARG SOURCE_DATE_EPOCH=0
RUN node scripts/build.ts --command-only --out /out/app/dist && rm /out/app/dist/cli/*.map \
 && node scripts/build-pages.ts --out /out/app/dist/pages \
 && cp -r package.json LICENSE softhsm container /out/app/ \
 && printf '#!/bin/sh\nexec /usr/local/bin/node /app/dist/cli/main.js "$@"\n' >/out/usr/local/bin/holdfast \
 && /out/usr/local/bin/node container/bill-of-materials.mjs /tmp/npm.json /tmp/status /tmp/os-release /out/app >/out/app/sbom.cdx.json \
 && chmod -R u=rwX,go=rX /out && chmod 755 /out/usr/local/bin/* /out/app/softhsm/initialise

# ---- The image --------------------------------------------------------------------------------------------------------
FROM runtime
COPY --from=build /out /
LABEL org.opencontainers.image.title=Holdfast \
      org.opencontainers.image.description="A backup key vault on PKCS#11 hardware" \
      org.opencontainers.image.licenses=Apache-2.0
# Else the C library keeps memory of its own for each of the runtime's threads.
ENV NODE_ENV=production MALLOC_ARENA_MAX=2
USER 10001:10001
WORKDIR /var/lib/holdfast
# 7443 nodes, 8443 coordinators, 8444 and 8445 cosigners, 8446 witnesses; monitoring at 9464 to 9468.
# What takes longer than that hangs: a busy machine's containers are not ill.
HEALTHCHECK --interval=10s --timeout=20s --start-period=60s --retries=3 CMD ["node", "/app/container/health.mjs"]
# A service begins anew with its engine's options (src/cli/engine.ts), as the same process.
ENTRYPOINT ["node", "/app/dist/cli/main.js"]
CMD ["--help"]
