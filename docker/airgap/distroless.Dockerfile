# gcr.io/distroless/cc-debian12:nonroot: the packages that it is made of, unpacked side by side; no shell, no package manager.
ARG DEBIAN
FROM ${DEBIAN} AS packages
WORKDIR /debs
RUN apt-get update -qq \
 && apt-get -o APT::Sandbox::User=root download -qq base-files ca-certificates libc6 libgcc-s1 libgomp1 libssl3 libstdc++6 netbase tzdata \
 && for deb in *.deb; do dpkg -x "$deb" /root-fs; done \
 && rm -rf /root-fs/usr/share/doc /root-fs/usr/share/man /root-fs/usr/share/locale /root-fs/usr/share/lintian /root-fs/usr/bin/ldd
WORKDIR /root-fs
RUN cat usr/share/ca-certificates/mozilla/*.crt >etc/ssl/certs/ca-certificates.crt \
 && printf 'root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' >etc/passwd \
 && printf 'root:x:0:\nnobody:x:65534:\nnonroot:x:65532:\n' >etc/group \
 && install -d -o 65532 -g 65532 -m 0700 home/nonroot \
 && install -d -m 1777 tmp

FROM scratch
COPY --from=packages /root-fs /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
WORKDIR /home/nonroot
USER 65532
